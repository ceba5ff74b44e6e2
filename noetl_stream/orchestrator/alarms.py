"""The next moment at which each machine wants to be looked at. Derived from state, so nothing of it need survive."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush


class Alarms:
    """One alarm a machine, the earliest that was set. Ringing early costs a look; ringing late is never allowed."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, machine: int, at: float | None) -> None:
        """Ring at `at` (seconds since the epoch), unless an earlier alarm is set already."""
        if at is None or at >= self._at.get(machine, float("inf")):
            return
        self._at[machine] = at
        heappush(self._heap, (at, machine))
        if len(self._heap) > 64 + 2 * len(self._at):
            self._heap = [(due, m) for m, due in self._at.items()]
            heapify(self._heap)

    def clear(self, machine: int) -> None:
        """The machine has ended."""
        self._at.pop(machine, None)

    def ring(self, now: float) -> Iterator[int]:
        """Machines whose alarm is due; each alarm rings once."""
        while self._heap and self._heap[0][0] <= now:
            at, machine = heappop(self._heap)
            if self._at.get(machine) == at:
                del self._at[machine]
                yield machine

    @property
    def next(self) -> float | None:
        return self._heap[0][0] if self._heap else None
