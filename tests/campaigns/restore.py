"""An orchestrator is killed while thousands of executions are open; another restores them, and all complete.

python -m tests.campaigns.restore --executions 10000

Half wait for a timer, half for a worker of a pool that has none yet. Prints times, memory and counts (`--json`: as JSON);
the exit code is 1 if an execution is lost, ends wrongly or counts twice.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

from noetl_stream.settings import Settings
from tests.campaigns.by_hand import campaigning, own_broker, told
from tests.campaigns.lane import Stuck
from tests.campaigns.load import Load
from tests.integration.client import connected
from tests.integration.processes import COMMAND, Roles, kill, roles

WAITING = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waiting}
workload: {n: 0, delay: 0}
workflow:
- step: timer
  tool:
    kind: noop
    result: "{{ workload.n }}"
    spec:
      policy:
        rules:
        - when: "{{ workload.delay > 0 and not ctx.has_waited }}"
          then: {do: retry, delay: "{{ workload.delay }}", set: {ctx.has_waited: true}}
  next: pool
- step: pool
  tool: {kind: noop, result: "{{ timer }}", pool: later}
"""
PROBE = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: probe}
workflow:
- step: only
  tool: {kind: noop}
"""
BLOCKS = frozenset({"timer/0/0", "pool/0/0"})
POOLS = ("default", "later")


@dataclass(kw_only=True)
class Restoration:
    """Seconds and megabytes. `takeover` is from the kill to the new owner's fences; `restore` from there to the first
    execution decided in every partition."""

    executions: int
    partitions: int
    opened: float = 0.0
    memory_open: float = 0.0
    takeover: float = 0.0
    restore: float = 0.0
    memory_restored: float = 0.0
    completed: float = 0.0
    memory_at_end: float = 0.0
    memory_peak: float = 0.0
    ended: int = 0
    violations: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        return (
            f"{self.executions} executions in {self.partitions} partitions: open after {self.opened:.1f} s at "
            f"{self.memory_open:.0f} MB; after the kill the group took {self.takeover:.1f} s and the restore "
            f"{self.restore:.1f} s to {self.memory_restored:.0f} MB; all completed {self.completed:.1f} s later at "
            f"{self.memory_at_end:.0f} MB (peak {self.memory_peak:.0f} MB); "
            f"{self.ended} ended, violations: {len(self.violations)}"
        )


async def restoration(
    bootstrap: str, folder: Path, executions: int, *, partitions: int = 8, delay: float, limit: float
) -> Restoration:
    """Run it on a broker. No single wait is longer than `limit` seconds; a timer waits for `delay`."""
    settings = Settings(
        bootstrap=bootstrap,
        data=folder,
        prefix=f"restore-{uuid4().hex[:8]}.",
        partitions=partitions,
        pools=POOLS,
    )
    found = Restoration(executions=executions, partitions=partitions)
    async with connected(settings) as client, roles(COMMAND, settings) as started:
        path = await client.register(WAITING)
        load = Load(client=client, blocks=BLOCKS)
        async with load.following():
            await _tell(Telling(load=load, started=started, path=path, limit=limit), found, delay)
    found.ended, found.violations = load.ended - partitions, load.violations
    return found


@dataclass(frozen=True, kw_only=True)
class Telling:
    """An installation in which the story happens."""

    load: Load
    started: Roles
    path: str
    limit: float

    async def ask(self, executions: int, delay: float) -> None:
        """Every second one has a timer to wait for."""
        asked = (
            self.load.client.ask(self.path, {"n": n, "delay": delay * (n % 2)}) for n in range(executions)
        )
        self.load.asked = {execution: n for n, execution in enumerate(await asyncio.gather(*asked))}

    async def probe(self, partitions: int) -> None:
        """Ask for an execution in every partition that ends as soon as somebody decides there."""
        path = await self.load.client.register(PROBE)
        for partition in range(partitions):
            await self.load.client.ask_in(partition, path)

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait for it; the seconds it took. Raises Stuck if it does not come."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.limit):
                await self.load.until(condition)
        except TimeoutError:
            found = f"{self.load.ended} of {len(self.load.asked)} have ended; {self.load.violations[:1]}"
            raise Stuck(f"still waiting after {self.limit:g} s: {found}") from None
        return time.monotonic() - began


async def _tell(story: Telling, found: Restoration, delay: float) -> None:
    load, started = story.load, story.started
    first, *_ = await asyncio.gather(
        started.start("orchestrator"), started.start("intake"), started.start("worker", "--pool", "default")
    )
    began = time.monotonic()
    await story.ask(found.executions, delay)
    await story.until(lambda: load.outcomes >= found.executions)
    found.opened, found.memory_open = time.monotonic() - began, megabytes(first, "VmRSS")
    fences = load.fences
    await kill(first)
    await story.probe(found.partitions)
    second = await started.begin("orchestrator")
    found.takeover = await story.until(lambda: load.fences >= fences + found.partitions)
    found.restore = await story.until(lambda: load.ended == found.partitions)
    found.memory_restored = megabytes(second, "VmRSS")
    await started.begin("worker", "--pool", "later")
    found.completed = await story.until(lambda: load.ended == found.partitions + found.executions)
    found.memory_at_end, found.memory_peak = megabytes(second, "VmRSS"), megabytes(second, "VmHWM")


def megabytes(process: Process, figure: str) -> float:
    """A figure of the kernel's about a process's memory: VmRSS now, VmHWM at its peak."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(figure))


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--executions", type=int, default=10_000)
    ask.add_argument("--partitions", type=int, default=8)
    ask.add_argument("--delay", type=float, default=90.0, help="seconds that every second execution waits")
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    with campaigning() as folder, own_broker(folder) as broker:
        found = asyncio.run(
            restoration(
                broker.bootstrap,
                folder / "data",
                asked.executions,
                partitions=asked.partitions,
                delay=asked.delay,
                limit=600.0,
            )
        )
    return told(found.sentence(), asdict(found), found.violations, as_json=asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
