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

from noetl_stream.adapters.admin import ensure_topics
from noetl_stream.wire.topics import Topic
from tests.campaigns.by_hand import campaigning, told
from tests.campaigns.lane import Lane, Stuck, lane
from tests.campaigns.report import Report
from tests.campaigns.writer import PARTITIONS, Writer
from tests.kafka_cluster import Unavailable
from tests.kafka_quorum import NODES, Machine, Quorum, crashed, paused, resolve_quorum

TOPIC = "written"
MOST_ACKNOWLEDGED = 2_000
MOST_RECORDS = 20
"""A broker is struck up to so many acknowledged records, and records of the event log, after the cluster was whole."""
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
    await quorum.whole()
    report.writer = writer = Writer(bootstrap=quorum.bootstrap, topic=TOPIC)
    await ensure_topics(writer.bootstrap, [Topic(name=TOPIC, partitions=PARTITIONS, replication=None)])
    async with lane(quorum.bootstrap, folder) as running:
        report.lanes.append(running)
        try:
            await _strikes(quorum, writer, running, report)
        except Stuck as stuck:
            report.violations.append(str(stuck))
        report.violations += running.load.violations
        report.violations += await writer.violations(running.load.client.platform.reader)


async def _strikes(quorum: Quorum, writer: Writer, running: Lane, report: Report) -> None:
    chance = random.Random(report.seed)
    writing = asyncio.create_task(writer.write(running.stop))
    try:
        await running.at_work("orchestrator")
        await running.at_work("worker")
        for _ in range(report.goal):
            await running.grow(chance.randrange(1, MOST_RECORDS))
            await writer.until_acknowledged(chance.randrange(1, MOST_ACKNOWLEDGED))
            async with _struck(quorum.machines[await _chosen(quorum, running, chance)], chance):
                await writer.until_acknowledged(1)
                await running.grow(1)
            await quorum.whole()
            report.killed()
        await running.drain()
        await writing
    finally:
        writing.cancel()


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
