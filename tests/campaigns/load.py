"""Load on one installation: executions asked for without a pause, its event log followed as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError
from noetl_stream.ids import partition_of
from tests.campaigns.ledger import Ledger, unmet
from tests.integration.client import Client

PATH = "errand"
ERRAND = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: errand}
workload: {n: 0}
workflow:
- step: numbers
  tool: {kind: duckdb, query: "SELECT range AS n FROM range(1000)"}
  next: parts
- step: parts
  loop: {in: [0, 1, 2, 3], iterator: part, spec: {mode: parallel, max_in_flight: 2}}
  tool:
    kind: duckdb
    input: {numbers: "{{ numbers }}"}
    params: {part: "{{ part }}"}
    query: SELECT sum(n)::BIGINT AS total FROM numbers WHERE n % 4 = $part
  next: total
- step: total
  tool:
    kind: python
    input: {parts: "{{ parts.results }}", n: "{{ workload.n }}"}
    code: result = n + sum(row["total"] for part in parts for row in part["rows"])
"""
BLOCKS = frozenset({"numbers/0/0", *(f"parts/0/{n}" for n in range(4)), "total/0/0"})


def result(n: int) -> Value:
    return n + sum(range(1000))


@dataclass(kw_only=True)
class Load:
    """Keeps `at_once` executions open. `asked` are those whose request was acknowledged."""

    client: Client
    blocks: frozenset[str] = BLOCKS
    """What each execution consists of."""
    at_once: int = 3
    asked: dict[int, Value] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    ledgers: list[Ledger] = field(init=False)

    def __post_init__(self) -> None:
        self.ledgers = [Ledger() for _ in range(self.client.platform.topics.events.partitions)]

    async def submit(self, stop: asyncio.Event) -> None:
        """Ask for one more whenever one has ended, until `stop` is set."""
        for n in count():
            await self.until(lambda: stop.is_set() or self.open < self.at_once)
            if stop.is_set():
                return
            execution = await self._ask(n)
            self.asked[execution] = result(n)

    async def _ask(self, n: int) -> int:
        """Until the request is acknowledged: under one key, however often it is sent."""
        key = uuid4().hex
        while True:
            try:
                return await self.client.ask(PATH, {"n": n}, key=key)
            except InfrastructureError:
                continue

    async def follow(self, partition: int) -> None:
        """The event log from its beginning, for ever."""
        reader, topic, ledger = (
            self.client.platform.reader,
            self.client.platform.topics.events.name,
            self.ledgers[partition],
        )
        while True:
            try:
                async with aclosing(reader.read(topic, partition, ledger.position)) as reading:
                    async for record in reading:
                        ledger.take(record)
                        await self.tell()
            except InfrastructureError:
                continue

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """The whole event log, until the block ends."""
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self.follow(partition)) for partition in range(len(self.ledgers))]
            try:
                yield
            finally:
                for task in readers:
                    task.cancel()

    async def tell(self) -> None:
        """Something that somebody may wait for has changed."""
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)

    @property
    def ended(self) -> int:
        return sum(len(ledger.ended) for ledger in self.ledgers)

    @property
    def open(self) -> int:
        """Executions that were asked for and have not ended; nobody else asks here."""
        return len(self.asked) - self.ended

    @property
    def records(self) -> int:
        """Records of the event log that were read."""
        return sum(ledger.position for ledger in self.ledgers)

    @property
    def fences(self) -> int:
        return sum(ledger.fences for ledger in self.ledgers)

    @property
    def outcomes(self) -> int:
        return sum(ledger.outcomes for ledger in self.ledgers)

    @property
    def violations(self) -> list[str]:
        """What the log says against everything that was asked for; complete once nothing is open."""
        mine: list[dict[int, Value]] = [{} for _ in self.ledgers]
        for execution, expected in self.asked.items():
            mine[partition_of(execution, len(mine))][execution] = expected
        return [
            bad
            for ledger, asked in zip(self.ledgers, mine, strict=True)
            for bad in unmet(ledger, asked, self.blocks)
        ]
