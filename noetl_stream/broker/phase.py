"""How long a group waits in the present phase of a rebalance: for members to join, then for them to ask what they got."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Phase:
    """Times are in seconds. While a new group gathers, whoever comes prolongs the wait, within the members' patience."""

    ends: float | None = None
    _gathers_until: float | None = None
    _somebody_came: bool = False

    @property
    def is_gathering(self) -> bool:
        return self._gathers_until is not None

    def begin(self, now: float, patience: float) -> None:
        """Wait for as long as the members allow."""
        self.ends, self._gathers_until = now + patience, None

    def gather(self, now: float, patience: float, delay: float) -> None:
        """Wait only `delay` for those that start together with the first member."""
        self.ends, self._gathers_until, self._somebody_came = (
            now + min(delay, patience),
            now + patience,
            False,
        )

    def note_newcomer(self) -> None:
        self._somebody_came = True

    def prolong(self, now: float, delay: float) -> bool:
        """At the end of a wait: whether it goes on."""
        if not self._somebody_came or self._gathers_until is None or self._gathers_until <= now:
            return False
        self.ends, self._somebody_came = min(now + delay, self._gathers_until), False
        return True

    def end(self) -> None:
        self.ends, self._gathers_until = None, None

    def is_over(self, now: float) -> bool:
        return self.ends is not None and self.ends <= now
