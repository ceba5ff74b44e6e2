"""A worker's agent: one pool, one reader, offers handed to slots; an offer is acknowledged when its outcome is durable."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import faust
from faust.types import StreamT

from noetl_stream.agents.acks import Acks
from noetl_stream.agents.app import events_of, raw_topic, record_of, until_done
from noetl_stream.core.messages import Offer
from noetl_stream.ports.log import Record
from noetl_stream.worker.worker import Worker

log = logging.getLogger(__name__)


def register(
    app: faust.App,
    *,
    blocks: str,
    worker: Worker,
    read: Callable[[Record], Awaitable[Offer | None]],
) -> None:
    """Subscribe a worker to a pool's offers. `read` decodes one, or puts it to dead letters and yields None."""
    acks: defaultdict[int, Acks] = defaultdict(Acks)

    async def rebalanced(*_: Any, **__: Any) -> None:
        acks.clear()

    app.on_partitions_revoked.connect(rebalanced)
    app.on_rebalance_complete.connect(rebalanced)

    @app.agent(raw_topic(app, blocks), name=f"worker-{blocks}")
    async def work(stream: StreamT[bytes]) -> None:
        async for event in events_of(stream):
            record = record_of(event)
            mine = acks[record.partition]
            mine.delivered(record.offset, event)
            await mine.room()
            await until_done(partial(take, record, partial(mine.finish, record.offset)), log)

    async def take(record: Record, done: Callable[[], None]) -> None:
        offer = await read(record)
        if offer is None:
            done()
        else:
            await worker.accept(offer, done)
