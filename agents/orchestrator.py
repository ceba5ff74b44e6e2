"""The orchestrator's agent: hands the event log's records to the shell, commits what the shell lets go."""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import partial
from typing import Any

import faust
from faust.types import StreamT

from noetl_stream.agents.acks import Acks
from noetl_stream.agents.app import events_of, holds, partitions_of, raw_topic, record_of, until_done
from noetl_stream.orchestrator.orchestrator import Orchestrator

log = logging.getLogger(__name__)


class Seats:
    """What the group tells this member, for the shell to ask."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._app, self._topic = app, topic
        self.acks: defaultdict[int, Acks] = defaultdict(Acks)

    def still_mine(self, partition: int) -> bool:
        return holds(self._app, self._topic, partition)

    def commit(self, partition: int, offset: int) -> None:
        self.acks[partition].finish_below(offset)


def register(app: faust.App, *, events: str, seats: Seats, orchestrator: Orchestrator) -> None:
    """Subscribe the orchestrator to the event log. Restores happen before delivery resumes."""

    async def revoked(*_: Any, **__: Any) -> None:
        seats.acks.clear()

    async def restore(*_: Any, **__: Any) -> None:
        seats.acks.clear()
        await until_done(keep_mine, log)

    async def keep_mine() -> None:
        await orchestrator.keep_only(partitions_of(app, events))

    app.on_partitions_revoked.connect(revoked)
    app.on_rebalance_complete.connect(restore)

    @app.agent(raw_topic(app, events), name="orchestrator")
    async def orchestrate(stream: StreamT[bytes]) -> None:
        async for event in events_of(stream):
            record = record_of(event)
            seats.acks[record.partition].delivered(record.offset, event)
            await until_done(partial(orchestrator.receive, record), log)
