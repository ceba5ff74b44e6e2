"""What a campaign came to, counted while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.campaigns.lane import Lane, Stuck
from tests.campaigns.writer import Writer

EVERY = 10
"""Kills between two lines of progress."""


@dataclass(kw_only=True)
class Report:
    """A campaign of `goal` kills. `say` takes a line of progress. Lanes and a writer join it when they start."""

    victim: str
    goal: int
    seed: int
    say: Callable[[str], None]
    kills: int = 0
    lanes: list[Lane] = field(default_factory=list)
    writer: Writer | None = None
    violations: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def joined_by(self, lane: Lane) -> Iterator[None]:
        """Count a lane for the block: that it is stuck, and what its log then says against it."""
        self.lanes.append(lane)
        try:
            yield
        except Stuck as stuck:
            self.violations.append(str(stuck))
        self.violations += lane.load.violations

    def killed(self) -> None:
        """Count one more."""
        self.kills += 1
        if self.kills % EVERY == 0:
            self.say(self.sentence())

    def sentence(self) -> str:
        counts = self.as_json()
        return (
            f"{self.kills}/{self.goal} kills of {self.victim}, seed {self.seed}, {counts['seconds']} s: "
            f"{counts['requests']} requests acknowledged, {counts['ended']} executions ended, "
            f"{counts['records']} records written and acknowledged; {counts['stale']} stale records, "
            f"{len(self.fallen)} processes fell by themselves; violations: {len(self.violations)}"
        )

    def as_json(self) -> dict[str, object]:
        loads = [lane.load for lane in self.lanes]
        return {
            "victim": self.victim,
            "seed": self.seed,
            "kills": self.kills,
            "seconds": round(time.monotonic() - self.began),
            "requests": sum(len(load.asked) for load in loads),
            "ended": sum(load.ended for load in loads),
            "stale": sum(ledger.stale for load in loads for ledger in load.ledgers),
            "records": self.writer.acknowledged if self.writer else 0,
            "fallen": self.fallen,
            "violations": self.violations,
        }

    @property
    def fallen(self) -> list[str]:
        """Processes that ended without being killed; a supervisor started them again."""
        return [fallen for lane in self.lanes for fallen in lane.crew.fallen]
