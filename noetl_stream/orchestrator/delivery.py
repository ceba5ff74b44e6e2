"""Delivering the outbox: each kind of message to where it belongs, again and again until it is durable there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from noetl_stream.core.events import (
    CancelRequested,
    Child,
    ChildEnded,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionQuarantined,
    ExecutionRequested,
    Parent,
    Status,
)
from noetl_stream.core.messages import (
    CancelExecution,
    Message,
    NotifyParent,
    Offer,
    Reply,
    ReplyAgain,
    StartChild,
    StopBlocks,
    StoreChunk,
)
from noetl_stream.core.plan import Plan
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import InvalidRequest, NoetlError
from noetl_stream.ids import execution_id, offer_partition, partition_of
from noetl_stream.orchestrator.lightening import OFFER_BYTES, lightened
from noetl_stream.ports.catalog import PinnedPlans
from noetl_stream.ports.facts import FactLog
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.log import Appender, Reader
from noetl_stream.wire.codec import decode_event, encode, encode_offer
from noetl_stream.wire.records import Reply as ReplyRecord
from noetl_stream.wire.topics import Topics
from noetl_stream.wire.values import encode_value

Nearby: TypeAlias = Callable[[str, int, Offer], None]
"""Tells workers of this process of an offer to (topic, partition) before the broker delivers it to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where messages go. Everything sent is derived, so a second delivery is recognised by whoever gets it.

    `replies` is an appender of its own: waiting for a client's topic that is not there must hold up nothing else.
    `refresh` reads the catalog to its present end.
    """

    log: Appender
    replies: Appender
    facts: FactLog
    reader: Reader
    plans: PinnedPlans
    cache: Cache
    topics: Topics
    nearby: Nearby
    refresh: Callable[[], Awaitable[None]]
    clock: Callable[[], float] = time.time

    async def deliver(self, message: Message) -> None:
        """Returns once the message is durable at its destination. Raises NoetlError if it is to be sent again."""
        match message:
            case Offer():
                await self.offer_soon(message)
            case StartChild():
                await self._start(message)
            case NotifyParent():
                told = message.status, message.result, message.error
                await self._answer(message.parent, message.child, *told)
            case Reply():
                await self._reply(message)
            case ReplyAgain():
                await self._reply_again(message)
            case CancelExecution():
                await self._cancel(message)
            case StopBlocks():
                await self.log.append(self.topics.control.name, encode(message), partition=0)
            case StoreChunk():
                await self.cache.create(message.name, encode_value(list(message.results)))
            case _:
                assert_never(message)

    def offer_soon(self, offer: Offer) -> asyncio.Future[int]:
        """The hot path: an offer on its way, without a task of its own. A worker in this process may begin at once."""
        encoded = encode_offer(offer)
        if len(encoded) > OFFER_BYTES and offer.rest is None:
            return asyncio.ensure_future(self._offer_light(offer))
        topic = self.topics.blocks(offer.pool, offer.priority)
        block = f"{offer.execution}/{offer.block}"
        partition = offer_partition(block, topic.partitions)
        sent = self.log.append_soon(topic.name, encoded, key=block.encode(), partition=partition)
        self.nearby(topic.name, partition, offer)
        return sent

    async def _offer_light(self, offer: Offer) -> int:
        return await self.offer_soon(await lightened(self.cache, offer))

    async def _start(self, message: StartChild) -> None:
        """Request the child, with the identity its block gave it; a path nobody registered answers the block."""
        child, parent = message.child, message.parent
        hashed = bytes.fromhex(child.identity)
        try:
            plan = await self._newest(child)
        except InvalidRequest as fault:
            why = Error(kind="playbook", message=str(fault))
            await self._answer(parent, execution_id(hashed), "FAILED", error=why)
            return
        request = ExecutionRequested(
            identity=child.identity,
            path=plan.path,
            version=plan.version,
            digest=plan.digest,
            catalog_offset=plan.catalog_offset,
            payload=child.input,
            seed=message.seed,
            time=self.clock(),
            tenant=message.tenant,
            parent=parent if child.wait else None,
            return_step=child.return_step,
            deadline=message.deadline,
            priority=message.priority,
            trace=message.trace,
        )
        await self.facts.report(execution_id(hashed), request)
        if not child.wait:
            await self._answer(parent, execution_id(hashed), "STARTED")

    async def _newest(self, child: Child) -> Plan:
        """What a child runs, looked up again once the catalog was read to its end. Raises InvalidRequest."""
        plan = self.plans.newest(child.path, child.version)
        if plan is None:
            await self.refresh()
            plan = self.plans.newest(child.path, child.version)
        if plan is None:
            asked = child.path if child.version is None else f"{child.path} version {child.version}"
            raise InvalidRequest(
                f"no playbook '{asked}' is in the catalog; register it with `noetl-stream register FILE`"
            )
        return plan

    async def _answer(
        self,
        parent: Parent,
        child: int,
        status: Status | Literal["STARTED"],
        result: Value = None,
        error: Error | None = None,
    ) -> None:
        """Tell the block that waits for it what became of a child."""
        ended = ChildEnded(
            block=parent.block,
            attempt=parent.attempt,
            segment=parent.segment,
            child=child,
            status=status,
            time=self.clock(),
            result=result,
            error=error,
        )
        await self.facts.report(parent.execution, ended)

    async def _cancel(self, message: CancelExecution) -> None:
        child = execution_id(bytes.fromhex(message.identity))
        await self.facts.report(child, CancelRequested(time=self.clock(), reason=message.reason))

    async def _reply(self, reply: Reply) -> None:
        """JSON, so that any client reads it; the key is the correlation id it sent."""
        record = ReplyRecord(
            execution=reply.execution,
            playbook=reply.path,
            version=reply.version,
            status=reply.status,
            finished=self.clock(),
            result=reply.result,
            error=reply.error,
            correlation=reply.correlation,
        )
        key = (reply.correlation or str(reply.execution)).encode()
        await self.replies.append(reply.reply_to, encode_value(reply_json(record)), key=key)

    async def _reply_again(self, message: ReplyAgain) -> None:
        """A request that came again after its end is answered from the record that ended it."""
        end = await self._how_it_ended(message)
        await self._reply(
            Reply(
                execution=message.execution,
                reply_to=message.reply_to,
                path=message.path,
                version=message.version,
                status=end.status,
                correlation=message.correlation,
                result=end.result,
                error=end.error,
            )
        )

    async def _how_it_ended(self, message: ReplyAgain) -> ExecutionEnded:
        topic = self.topics.events
        partition = partition_of(message.execution, topic.partitions)
        async for record in self.reader.read(topic.name, partition, message.offset, message.offset + 1):
            event = decode_event(record.value or b"")
            return _end_in(event)
        raise NoetlError(
            f"the record at {topic.name}/{partition}/{message.offset} is gone; check its retention"
        )


def _end_in(event: Event) -> ExecutionEnded:
    if isinstance(event, ExecutionQuarantined):
        return ExecutionEnded(status="FAILED", error=Error(kind="quarantined", message=event.reason))
    assert isinstance(event, Decision)  # the done-set points at the record that ended it
    return next(move for move in event.moves if isinstance(move, ExecutionEnded))


def reply_json(reply: ReplyRecord) -> dict[str, object]:
    """A reply as services read it."""
    error = reply.error
    return {
        "execution_id": str(reply.execution),
        "playbook": reply.playbook,
        "version": reply.version,
        "status": reply.status,
        "finished_at": reply.finished,
        "result": reply.result,
        "error": None
        if error is None
        else {"step": error.step, "kind": error.kind, "message": error.message},
        "correlation": reply.correlation,
    }
