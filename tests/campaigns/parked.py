"""A thousand executions wait for somebody outside: no slot is held, everything is killed, and all of them complete.

python -m tests.campaigns.parked --executions 1000

A third waits for a callback, a third for an approval, a third for a moment; the worker has two slots. Then worker,
orchestrator, intake and broker are killed and started again, and everybody is answered, twice. Prints times and counts
(`--json`: as JSON); the exit code is 1 if an execution is lost, ends wrongly, or ends twice.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from asyncio.subprocess import Process
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from uuid import uuid4

from noetl_stream.broker.launch import start_broker
from noetl_stream.replay.waiting import Asking, waiting
from noetl_stream.settings import Settings
from tests.campaigns.brokers import Victim
from tests.campaigns.by_hand import campaigning, told
from tests.campaigns.load import Load
from tests.campaigns.restore import Telling, megabytes
from tests.integration.client import connected
from tests.integration.processes import COMMAND, kill, roles

ROLES = ("orchestrator", "intake", "worker")
SLOTS = 2
BLOCKS = frozenset({"ask/0/0", "done/0/0"})
HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: NAME}\nworkflow:\n"
ASKS = {
    "called": "{kind: callback, prompt: 'number {{ workload.n }}'}",
    "approved": "{kind: approve, prompt: 'number {{ workload.n }}', approvers: [ann]}",
    "timed": "{kind: wait, until: '{{ workload.until }}'}",
}
SAYS = {
    "called": "{{ ask.n }}",
    "approved": "{{ workload.n if ask.by == 'ann' }}",
    "timed": "{{ workload.n }}",
}
QUICK = f"{HEAD}- {{step: only, tool: {{kind: noop, result: done}}}}\n".replace("NAME", "quick")


@dataclass(kw_only=True)
class Parked:
    """Seconds and megabytes. `quick` is a run of one step beside all that wait; `restart` is from the kills to such a run."""

    executions: int
    partitions: int
    parked: float = 0.0
    quick: float = 0.0
    worker_memory: float = 0.0
    restart: float = 0.0
    answered: float = 0.0
    waited: float = 0.0
    ended: int = 0
    violations: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        return (
            f"{self.executions} executions in {self.partitions} partitions on {SLOTS} slots: parked after {self.parked:.1f} s "
            f"(worker {self.worker_memory:.0f} MB), a run beside them {self.quick * 1000:.0f} ms; after a kill of everything "
            f"a run ended in {self.restart:.1f} s; all were answered, twice, in {self.answered:.1f} s and all had ended "
            f"{self.waited:.1f} s later; {self.ended} ended, violations: {len(self.violations)}"
        )


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--executions", type=int, default=1_000)
    ask.add_argument("--partitions", type=int, default=8)
    ask.add_argument(
        "--wait", type=float, default=120.0, help="seconds until the moment that a third waits for"
    )
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    with campaigning() as folder:
        found = asyncio.run(
            parked(folder, asked.executions, partitions=asked.partitions, wait=asked.wait, limit=600.0)
        )
    return told(found.sentence(), asdict(found), found.violations, as_json=asked.json)


async def parked(folder: Path, executions: int, *, partitions: int, wait: float, limit: float) -> Parked:
    """Run it on a broker of its own. No single wait is longer than `limit` seconds."""
    victim = Victim(folder=folder / "broker", broker=start_broker(folder / "broker"))
    settings = Settings(
        bootstrap=victim.broker.bootstrap,
        data=folder / "data",
        prefix=f"parked-{uuid4().hex[:8]}.",
        partitions=partitions,
        slots=SLOTS,
    )
    found = Parked(executions=executions, partitions=partitions)
    try:
        async with connected(settings) as client, roles(COMMAND, settings) as started:
            load = Load(client=client, blocks=BLOCKS)
            async with load.following():
                story = Story(
                    telling=Telling(load=load, started=started, path="", limit=limit), victim=victim
                )
                await story.tell(found, wait)
            load.asked = story.asked
            found.ended, found.violations = load.ended - story.runs, [*load.violations, *found.violations]
    finally:
        victim.broker.stop()
    return found


@dataclass(kw_only=True)
class Story:
    """What happens to one installation. `runs` are quick ones beside what waits."""

    telling: Telling
    victim: Victim
    asked: dict[int, int] = field(default_factory=dict)
    runs: int = 0

    async def tell(self, found: Parked, wait: float) -> None:
        load = self.telling.load
        running = await self.up()
        began = time.monotonic()
        until = time.time() + wait
        await self.ask(found.executions, until)
        await self.telling.until(lambda: load.outcomes >= found.executions)
        found.parked = time.monotonic() - began
        found.worker_memory = megabytes(running["worker"], "VmRSS")
        found.quick = await self.run_beside()
        before = await self.asking()
        found.violations += self.early(until)
        began = time.monotonic()
        for process in running.values():
            await kill(process)
        await self.victim.replace()
        await self.up()
        await self.run_beside()
        found.restart = time.monotonic() - began
        after = await self.asking()
        if {each.token.text for each in before} != {each.token.text for each in after}:
            found.violations.append("the restart changed who asks, or by which token")
        began = time.monotonic()
        await self.answer(after)
        found.answered = time.monotonic() - began
        found.waited = await self.telling.until(lambda: load.ended == found.executions + self.runs)

    def early(self, until: float) -> list[str]:
        """Whatever makes the restart no test of all that wait."""
        ended = self.telling.load.ended - self.runs
        late = (
            [f"all had parked {time.time() - until:.0f} s too late; raise --wait"]
            if time.time() > until
            else []
        )
        return [*late, *([f"{ended} ended before anybody answered"] if ended else [])]

    async def up(self) -> dict[str, Process]:
        """A process of each role, ready."""
        started = self.telling.started
        found = await asyncio.gather(*(started.start(role) for role in ROLES))
        return dict(zip(ROLES, found, strict=True))

    async def ask(self, executions: int, until: float) -> None:
        client = self.telling.load.client
        for name, tool in ASKS.items():
            done = f'{{kind: noop, result: "{SAYS[name]}"}}'
            steps = f"- {{step: ask, tool: {tool}, next: done}}\n- {{step: done, tool: {done}}}\n"
            await client.register(HEAD.replace("NAME", name) + steps)
        await client.register(QUICK)
        asked = (
            client.ask(name, {"n": n, "until": until})
            for n, name in zip(range(executions), cycle(ASKS), strict=False)
        )
        self.asked = {execution: n for n, execution in enumerate(await asyncio.gather(*asked))}

    async def run_beside(self) -> float:
        """The seconds that a run of one step takes."""
        began = time.monotonic()
        load = self.telling.load
        execution = await load.client.ask("quick")
        self.runs += 1
        await self.telling.until(lambda: any(execution in ledger.ended for ledger in load.ledgers))
        return time.monotonic() - began

    async def asking(self) -> list[Asking]:
        """Every block that can be answered."""
        platform = self.telling.load.client.platform
        return [each async for each in waiting(platform.reader, platform.topics)]

    async def answer(self, asking: list[Asking]) -> None:
        """Everybody, by their own number; a second time, by another, which must change nothing."""
        client = self.telling.load.client
        for each in asking:
            n = int(each.ask["prompt"].split()[1])
            approval = each.ask["kind"] == "approve"
            await client.answer(each.token, {"approved": True} if approval else {"n": n}, by="ann")
            await client.answer(each.token, {"approved": False} if approval else {"n": -1}, by="eve")


if __name__ == "__main__":
    raise SystemExit(main())
