"""Sending the outbox of a seat: each message again and again until it is durable where it belongs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

from noetl_stream.core.messages import Offer, Reply, ReplyAgain
from noetl_stream.errors import NoetlError
from noetl_stream.orchestrator.delivery import Delivery
from noetl_stream.orchestrator.owner import Sending
from noetl_stream.orchestrator.seat import Seat
from noetl_stream.ports.log import Record

log = logging.getLogger(__name__)

REPLY_TRIES = 3
"""How often a reply is tried, the appender's own patience each time, before it is set aside. Everything else is tried for as long as it takes."""


class Sender:
    """Carries messages; `delivered` is told of each seat whose committed offset may have moved."""

    def __init__(
        self,
        delivery: Delivery,
        *,
        dead_letter: Callable[[Record, str], Awaitable[None]],
        delivered: Callable[[Seat], None],
        clock: Callable[[], float],
        again_after: float,
    ) -> None:
        self._delivery, self._dead_letter, self._told = delivery, dead_letter, delivered
        self._clock, self._again_after = clock, again_after

    def send(self, seat: Seat, sending: Sending) -> None:
        """Offers are the hot path: no task of their own."""
        if seat.lost:
            return
        if not isinstance(sending.message, Offer):
            seat.spawn(self._deliver(seat, sending))
            return
        future = self._delivery.offer_soon(sending.message)
        future.add_done_callback(partial(self._sent, seat, sending))

    def _sent(self, seat: Seat, sending: Sending, future: asyncio.Future[int]) -> None:
        if seat.lost or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            log.warning("an offer is sent again: %s", error)
            asyncio.get_running_loop().call_later(self._again_after, self.send, seat, sending)
            return
        self._delivered(seat, sending)

    async def _deliver(self, seat: Seat, sending: Sending) -> None:
        for tries in count(1):
            try:
                await self._delivery.deliver(sending.message)
                break
            except NoetlError as error:
                log.warning("a %s is sent again: %s", type(sending.message).__name__, error)
                if tries >= REPLY_TRIES and await self._set_aside(seat, sending, error):
                    break
                await asyncio.sleep(self._again_after)
        self._delivered(seat, sending)

    async def _set_aside(self, seat: Seat, sending: Sending, error: NoetlError) -> bool:
        """A reply whose topic takes none goes to dead letters, lest one client's choice hold the partition's offset.

        While the broker takes nothing at all, that fails too, and the reply is tried again.
        """
        reply = sending.message
        if not isinstance(reply, Reply | ReplyAgain):
            return False
        record = _origin(self._delivery.topics.events.name, seat, sending, reply.execution, self._clock())
        try:
            await self._dead_letter(record, f"the reply to '{reply.reply_to}' cannot be sent: {error}")
        except NoetlError:
            return False
        return True

    def _delivered(self, seat: Seat, sending: Sending) -> None:
        sending.done = True
        self._told(seat)


def _origin(topic: str, seat: Seat, sending: Sending, execution: int, now: float) -> Record:
    """The record of the event log that a message follows from, by its place."""
    return Record(
        topic=topic,
        partition=seat.partition,
        offset=sending.offset,
        timestamp=int(now * 1000),
        key=str(execution).encode(),
        value=None,
    )
