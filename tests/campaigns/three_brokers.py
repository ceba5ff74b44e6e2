"""Strikes the brokers of a three-broker Apache Kafka under load, one at a time: nothing acknowledged may be lost, nothing
accepted twice, every execution must end.

python -m tests.campaigns.three_brokers --kills 50 --seed 1

Each strike waits for a random number of records, then kills or pauses one of the three: the leader of a partition of the
event log, the leader of the controllers, or any. Work must go on without it before it comes back. Prints progress and a
line of counts (`--json`: as JSON); the exit code is 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.campaigns.by_hand import campaigning, told
from tests.campaigns.lane import Lane
from tests.campaigns.report import Report
from tests.campaigns.under_load import under_load
from tests.campaigns.writer import Writer
from tests.kafka_cluster import Unavailable
from tests.kafka_quorum import NODES, Machine, Quorum, crashed, paused, resolve_quorum

KILLS_A_PAUSE = 3
LONGEST_PAUSE = 15.0
"""Seconds: up to long after its session has ended, and its leadership with it."""


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--kills", type=int, default=50, help="strikes, one of four of them a pause")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    report = Report(
        victim="three brokers",
        goal=asked.kills,
        seed=asked.seed,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    with campaigning() as folder:
        quorum = resolve_quorum()
        if isinstance(quorum, Unavailable):
            print(f"three brokers cannot be had here: {quorum.reason}", file=sys.stderr)
            return 3
        try:
            asyncio.run(against(quorum, folder, report))
        finally:
            quorum.stop()
    return told(report.sentence(), report.as_json(), report.violations, as_json=asked.json)


async def against(quorum: Quorum, folder: Path, report: Report) -> None:
    """The campaign that `report` describes, to its end."""

    async def strike(writer: Writer, running: Lane, chance: random.Random) -> None:
        machine = quorum.machines[await _chosen(quorum, running, chance)]
        async with _struck(machine, chance):
            await writer.until_acknowledged(1)
            await running.grow(1)
        await quorum.whole()

    await quorum.whole()
    await under_load(quorum.bootstrap, folder, report, strike)


def _struck(machine: Machine, chance: random.Random) -> AbstractAsyncContextManager[None]:
    """Gone for the block, or silent for a time that may end in the block or after it."""
    if chance.randrange(KILLS_A_PAUSE + 1):
        return crashed(machine)
    return paused(machine, chance.uniform(0.1, LONGEST_PAUSE))


async def _chosen(quorum: Quorum, running: Lane, chance: random.Random) -> int:
    events = running.load.client.platform.topics.events
    match chance.choice(("leader", "controller", "any")):
        case "leader":
            return await quorum.leader(events.name, chance.randrange(events.partitions))
        case "controller":
            return await quorum.controller()
        case _:
            return chance.choice(NODES)


if __name__ == "__main__":
    raise SystemExit(main())
