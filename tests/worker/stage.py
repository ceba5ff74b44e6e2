"""A whole playbook played in memory: the real compiler, fold, decisions and wire, the real worker's blocks and cache.

    log = await played(steps, cache, tools)

Only the broker is missing: an offer goes to a block as it stands on the wire, its outcome into the fold likewise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache as once
from typing import Any, ClassVar

from pydantic import BaseModel

from noetl_stream.core.events import ChildEnded, Report
from noetl_stream.core.messages import Offer, StartChild, StoreChunk
from noetl_stream.core.plan import Plan
from noetl_stream.core.values import Value, unmarked
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.orchestrator.lightening import OFFER_BYTES, lightened
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Done, Kind, Nature, Park, Tool
from noetl_stream.tools.builtin import kinds
from noetl_stream.tools.config import Config
from noetl_stream.tools.noop import Noop
from noetl_stream.tools.playbook import Playbook
from noetl_stream.wire.codec import decode_event, decode_offer, encode, encode_offer
from noetl_stream.wire.values import encode_value
from noetl_stream.worker.block import run_block
from noetl_stream.worker.credentials import FROM_DOCUMENT
from tests.histories.builder import History, history

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: sales}\n"


class ActConfig(Config):
    say: Any = None
    times: int = 1
    query: Any = None
    code: Any = None


@dataclass(slots=True)
class Act:
    """A tool that does as its test says: `does` gets each call and yields a value, parks or raises."""

    kind: ClassVar[str] = "act"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ActConfig

    does: Callable[[Call], Any] = lambda call: call.config.say
    calls: list[Call] = field(default_factory=list)

    async def run(self, call: Call) -> Done | Park:
        self.calls.append(call)
        found = self.does(call)
        if isinstance(found, Awaitable):
            found = await found
        return found if isinstance(found, Done | Park) else Done(value=found)

    async def close(self) -> None:
        """Nothing is held open."""

    @property
    def said(self) -> list[Any]:
        return [call.config.say for call in self.calls]


@once
def known_kinds() -> Mapping[str, Kind]:
    return {**kinds(), "act": Kind(name="act", config=ActConfig, nature="write")}


def plan_of(document: str) -> Plan:
    """A plan from `workflow:` and what else a document holds, or from the bare list of steps."""
    body = document if "workflow:" in document else f"workflow:\n{document}"
    return compile_playbook(HEAD + body, file="sales.yaml", kinds=known_kinds()).plan


def tools_of(act: Act) -> Mapping[str, Tool]:
    return {"act": act, "noop": Noop(), "playbook": Playbook()}


@dataclass(slots=True)
class Stage:
    """Plays an execution block by block. `outcomes` are what its blocks reported, `offers` what they were given."""

    log: History
    cache: Cache
    act: Act
    outcomes: list[Report] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    children: list[StartChild] = field(default_factory=list)
    credentials: Credentials = FROM_DOCUMENT
    _seen: int = 0

    async def play(self) -> Stage:
        """Run every block that is offered, as soon as its backoff is over, until there is none."""
        while (fresh := self._fresh()) or self._waited():
            for message in fresh:
                match message:
                    case Offer():
                        await self._run(message)
                    case StoreChunk():
                        await self.cache.create(message.name, encode_value(list(message.results)))
                    case StartChild():
                        self.children.append(message)
        return self

    def answer(self, **more: Any) -> Stage:
        """The newest child has ended."""
        parent = self.children[-1].parent
        life: dict[str, Any] = {"block": parent.block, "attempt": parent.attempt, "segment": parent.segment}
        given: dict[str, Any] = {"status": "COMPLETED", "child": 99, "time": self.log.now}
        self.log.fold(ChildEnded(**life, **(given | more)))
        return self

    def _fresh(self) -> list[Any]:
        self.log.settled()
        fresh = self.log.sent[self._seen :]
        self._seen = len(self.log.sent)
        return fresh

    def _waited(self) -> bool:
        """Let a backoff or a sleep pass, if there is one."""
        waiting = [b.due for b in self.log.execution.blocks.values() if b.status in ("waiting", "parked")]
        if self.log.execution.over or not waiting:
            return False
        self.log.now = max(self.log.now, min(due for due in waiting if due is not None))
        return bool(self.log.decided())

    async def _run(self, message: Offer) -> None:
        if len(encode_offer(message)) > OFFER_BYTES:
            message = await lightened(self.cache, message)
        offer = decode_offer(encode_offer(message))
        outcome = await run_block(
            plan=self.log.plan,
            offer=offer,
            tools=tools_of(self.act),
            cache=self.cache,
            run_id="r",
            credentials=self.credentials,
        )
        self.offers.append(offer)
        self.outcomes.append(outcome)
        self.log.now = max(self.log.now, outcome.time)
        self.log.fold(decode_event(encode(outcome)))

    @property
    def ctx(self) -> dict[str, Value]:
        return self.log.ctx

    @property
    def results(self) -> dict[str, Value]:
        """Each step's result, as a report shows it."""
        return {name: unmarked(each) for name, each in self.log.execution.results.items()}

    @property
    def outcome(self) -> Any:
        return self.outcomes[-1]


def on_stage(document: str, cache: Cache, act: Act, payload: Value = None) -> Stage:
    return Stage(history(plan_of(document)).requested(payload), cache, act)


async def played(document: str, cache: Cache, act: Act | None = None, payload: Value = None) -> Stage:
    """A playbook played to where it ends, or waits for something outside."""
    return await on_stage(document, cache, act or Act(), payload).play()
