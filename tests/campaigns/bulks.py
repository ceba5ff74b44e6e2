"""Long loops and large data on an installation of processes: how long each takes, and what memory and records it costs.

python -m tests.campaigns.bulks                  all of them in full; several minutes
python -m tests.campaigns.bulks loop object      these
python -m tests.campaigns.bulks --few            as the tests run them
python -m tests.campaigns.bulks while --n 10000  another size

The exit code is 1 if a result is wrong, a record is too large, the orchestrator takes too much memory, or a state folded
from checkpoints differs from the one folded from the log's beginning.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from noetl_stream.settings import Settings
from tests.campaigns.bulk import BULKS, Bulk
from tests.campaigns.by_hand import campaigning, own_broker
from tests.campaigns.refolded import Refolded, refolded
from tests.campaigns.restore import megabytes
from tests.integration.client import Client, connected
from tests.integration.processes import COMMAND, roles

RECORD_BYTES = 256 * 1024
"""What no event, and no record of a block, exceeds."""
MEGABYTES = 200
"""What the orchestrator stays under."""
LIMIT = 3_600.0
"""Seconds that one playbook may take."""


@dataclass(kw_only=True)
class Measured:
    """One playbook's run. Seconds; bytes of the largest record by topic; megabytes at their peak by role."""

    name: str
    n: int
    seconds: float
    records: dict[str, int]
    memory: dict[str, float]
    state: Refolded
    violations: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        memory = ", ".join(f"{role} {peak:.0f} MB" for role, peak in self.memory.items())
        records = ", ".join(f"{topic} {size:,}" for topic, size in self.records.items())
        return (
            f"{self.name:8} n={self.n:<7,} {self.seconds:7.1f} s, {self.n / self.seconds:8,.0f}/s | {memory} | "
            f"largest records: {records} | state {self.state.state_hash}, at most {self.state.largest:,} bytes | violations: {self.violations}"
        )


async def measured(client: Client, bulk: Bulk, n: int, processes: dict[str, Process]) -> Measured:
    """Run a playbook to its end and look at all that it left behind."""
    path = await client.register(bulk.text)
    began = time.monotonic()
    execution = await client.ask(path, {"n": n, "place": str(client.platform.settings.data)})
    told = await client.told(execution, limit=LIMIT)
    seconds = time.monotonic() - began
    ended = told[-1].folded.machine
    assert ended is not None  # who waits for an end has seen one
    found = Measured(
        name=bulk.name,
        n=n,
        seconds=seconds,
        records=await largest(client),
        memory={role: megabytes(process, "VmHWM") for role, process in processes.items()},
        state=await refolded(client, execution),
    )
    end = ended.ended
    came = None if end is None else end.error or await client.value(end.result)
    if came != bulk.expected(n):
        found.violations.append(f"came to {came!r:.300}, not {bulk.expected(n)!r}")
    found.violations += too_large(found.records)
    if (peak := found.memory.get("orchestrator", 0.0)) > MEGABYTES:
        found.violations.append(f"the orchestrator took {peak:.0f} MB")
    found.violations += found.state.differ
    return found


async def largest(client: Client) -> dict[str, int]:
    """Bytes of the largest record of each topic that has any, by the topic's own name."""
    platform, found = client.platform, dict[str, int]()
    for topic in platform.topics.all(platform.settings.pools):
        for partition in range(topic.partitions):
            stop = await platform.reader.end(topic.name, partition)
            async for record in platform.reader.read(topic.name, partition, 0, stop):
                name = topic.name.removeprefix(platform.settings.prefix)
                found[name] = max(found.get(name, 0), len(record.value or b""))
    return found


def too_large(records: dict[str, int]) -> list[str]:
    """Our own records beyond the limit; what clients send is theirs."""
    return [
        f"a record of {topic} has {size:,} bytes"
        for topic, size in records.items()
        if size > RECORD_BYTES and topic != "requests"
    ]


async def run(names: list[str], bootstrap: str, folder: Path, size: Callable[[Bulk], int]) -> int:
    """How many of them show something bad. Each has an installation of its own."""
    failed = 0
    for bulk in (BULKS[name] for name in names):
        async with laid_out(bootstrap, folder / bulk.name) as (client, processes):
            found = await measured(client, bulk, size(bulk), processes)
        print(found.sentence(), flush=True)
        failed += bool(found.violations)
    return failed


@asynccontextmanager
async def laid_out(bootstrap: str, folder: Path) -> AsyncIterator[tuple[Client, dict[str, Process]]]:
    """An installation whose roles are processes, and a client of it."""
    settings = Settings(bootstrap=bootstrap, data=folder, prefix=f"bulk-{uuid4().hex[:8]}.", partitions=1)
    async with connected(settings) as client, roles(COMMAND, settings) as started:
        names = ("intake", "orchestrator", "worker")
        processes = await asyncio.gather(*map(started.start, names))
        yield client, dict(zip(names, processes, strict=True))


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BULKS)}; default: all")
    ask.add_argument("--few", action="store_true")
    ask.add_argument("--n", type=int, default=0, help="another size than their own")
    asked = ask.parse_args()
    if unknown := sorted(set(asked.names) - BULKS.keys()):
        ask.error(f"there is no {', '.join(unknown)}; the names are {', '.join(BULKS)}")

    def size(bulk: Bulk) -> int:
        return asked.n or (bulk.few if asked.few else bulk.n)

    names = asked.names or list(BULKS)
    with campaigning() as folder, own_broker(folder) as broker:
        failed = asyncio.run(run(names, broker.bootstrap, folder / "data", size))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
