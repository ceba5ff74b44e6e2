"""Campaigns of kill -9 between an effect and its event: what is to happen exactly once does, and nothing at most once twice.

python -m tests.campaigns.effects --kills 200 --seed 1

Each worker dies at the sight of an effect: a row in PostgreSQL, a request to a web service. Prints progress and a line of
counts (`--json`: as JSON); the exit code is 1 if anything was violated. It needs a PostgreSQL of the system.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests import postgres_server
from tests.campaigns.by_hand import campaigning, own_broker, told
from tests.campaigns.effect_lane import TIMES, Counts, Lane, lane
from tests.campaigns.report import EVERY


@dataclass(kw_only=True)
class Effects:
    """A campaign of `goal` kills, counted while it runs. `say` takes a line of progress."""

    goal: int
    seed: int
    say: Callable[[str], None]
    kills: int = 0
    lanes: list[Counts] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def killed(self) -> None:
        """Count one more."""
        self.kills += 1
        if self.kills % EVERY == 0:
            self.say(f"{self.kills}/{self.goal} kills, {time.monotonic() - self.began:.0f} s")

    @property
    def violations(self) -> list[str]:
        return [violation for each in self.lanes for violation in each.violations]

    def as_json(self) -> dict[str, object]:
        return {
            "seed": self.seed,
            "kills": self.kills,
            "seconds": round(time.monotonic() - self.began),
            "once": sum(len(each.books) for each in self.lanes) * TIMES,
            "repeated": sum(each.repeated for each in self.lanes),
            "asked_again": sum(each.site.again for each in self.lanes),
            "charges": sum(len(each.charges) for each in self.lanes),
            "lost": sum(each.lost for each in self.lanes),
            "violations": self.violations,
        }

    def sentence(self) -> str:
        counts = self.as_json()
        return (
            f"{self.kills}/{self.goal} kills, seed {self.seed}, {counts['seconds']} s: {counts['once']} effects each in "
            f"PostgreSQL, sqlite and a web service, each once, though {counts['repeated']} blocks ran again after all three and "
            f"the service was asked again {counts['asked_again']} times; {counts['charges']} charges at most once, of which "
            f"{counts['lost']} are lost; violations: {len(self.violations)}"
        )


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--kills", type=int, default=200)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--lanes", type=int, default=4, help="installations side by side")
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    report = Effects(
        goal=asked.kills, seed=asked.seed, say=lambda line: print(line, file=sys.stderr, flush=True)
    )
    with campaigning() as folder, own_broker(folder) as broker, postgres_server.running() as server:
        asyncio.run(carry_out(report, folder, broker.bootstrap, server, lanes=asked.lanes))
    return told(report.sentence(), report.as_json(), report.violations, as_json=asked.json)


async def carry_out(
    report: Effects, folder: Path, bootstrap: str, server: postgres_server.Server, *, lanes: int = 4
) -> None:
    """The campaign that `report` describes, to its end."""
    turns = iter(range(report.goal))
    with ExitStack() as stack:
        databases = [stack.enter_context(server.database()) for _ in range(lanes)]
        async with asyncio.TaskGroup() as group:
            for number, dsn in enumerate(databases):
                chance = random.Random(f"{report.seed}/{number}")
                running = lane(bootstrap, dsn, folder / f"lane{number}")
                group.create_task(_one(running, report, chance, turns))


async def _one(
    opened: AbstractAsyncContextManager[Lane], report: Effects, chance: random.Random, turns: Iterator[int]
) -> None:
    async with opened as running:
        async with asyncio.TaskGroup() as group:
            for path in ("book", "book", "charge", "charge"):
                group.create_task(running.ask(path))
            for _ in turns:
                await running.strike(chance)
                report.killed()
            await running.started.begin("worker")
            running.stop.set()
        report.lanes.append(await running.count())


if __name__ == "__main__":
    raise SystemExit(main())
