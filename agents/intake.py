"""Intake's agent: requests in, request facts out; each is acknowledged once it is durable in the event log."""

from __future__ import annotations

import logging
from functools import partial

import faust
from faust.types import StreamT

from noetl_stream.agents.app import events_of, raw_topic, record_of, until_done
from noetl_stream.intake import Intake

log = logging.getLogger(__name__)


def register(app: faust.App, *, requests: str, intake: Intake) -> None:
    """Subscribe intake to the request topic."""

    @app.agent(raw_topic(app, requests), name="intake")
    async def take_in(stream: StreamT[bytes]) -> None:
        async for event in events_of(stream):
            await until_done(partial(intake.take, record_of(event)), log)
            event.ack()
