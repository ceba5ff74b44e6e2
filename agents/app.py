"""A Faust app as we rely on it. Each setting here answers a measured fault; `tests/agents` pins the facts behind them."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("F_DATADIR", tempfile.gettempdir())

import faust  # faust reads F_DATADIR while it is imported
from faust.tables.manager import TableManager
from faust.types import TP

from noetl_stream.adapters.security import OPEN, Security

# It brings in what Faust imports late, beside a broker's start.
from noetl_stream.agents.consumer import ExactApp
from noetl_stream.ports.log import Record

AGAIN_AFTER = 1.0
SESSION = 6.0
"""Seconds after which a dead member's partitions move on."""
SILENCE = 10.0
"""Seconds after which a broker that answers nothing is left for another; more than a group may take to rebalance."""


class NoTables(TableManager):
    """Faust waits a second before it subscribes, in case somebody still declares a table; we never do.

    Agents have started by then all the same: the conductor waits for them first.
    """

    async def sleep(self, n: Any, *, loop: Any = None) -> None:
        """What `on_start` does first, and nothing else here does."""


def new_app(app_id: str, bootstrap: str, *, data: Path, security: Security = OPEN) -> faust.App:
    """An app with acknowledgement in our own hands, quick takeover, no tables and no web server.

    Nobody is revoked for being slow (`broker_max_poll_interval`): heartbeats are the liveness.
    """
    data.mkdir(parents=True, exist_ok=True)
    return ExactApp(
        app_id,
        broker=[f"kafka://{address}" for address in bootstrap.split(",")],
        broker_credentials=_credentials(security),
        datadir=str(data / app_id),
        autodiscover=False,
        broker_session_timeout=SESSION,
        broker_heartbeat_interval=0.5,
        broker_rebalance_timeout=SESSION,
        broker_request_timeout=SILENCE,
        broker_commit_interval=0.5,
        broker_max_poll_interval=86_400.0,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        TableManager=NoTables,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


def _credentials(security: Security) -> faust.SASLCredentials | faust.SSLCredentials | None:
    if security.login is not None:
        return faust.SASLCredentials(
            mechanism=security.login.mechanism,
            username=security.login.username,
            password=security.login.password,
            ssl_context=security.tls,
        )
    return None if security.tls is None else faust.SSLCredentials(context=security.tls)


def raw_topic(app: faust.App, name: str) -> Any:
    """A topic whose keys and values stay bytes: decoding is ours."""
    return app.topic(name, key_serializer="raw", value_serializer="raw", internal=False)


def partitions_of(app: faust.App, topic: str) -> Iterable[int]:
    """The partitions of `topic` that this member holds now."""
    return sorted(tp.partition for tp in app.consumer.assignment() if tp.topic == topic)


def holds(app: faust.App, topic: str, partition: int) -> bool:
    """Whether this member holds a partition now."""
    return TP(topic, partition) in app.consumer.assignment()


def events_of(stream: Any) -> AsyncIterator[Any]:
    """A stream's events, none of which is acknowledged but by us."""
    return aiter(stream.noack().events())


def record_of(event: Any) -> Record:
    """A delivered event as the record it is."""
    message = event.message
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=int(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(pairs),
    )


async def until_done(work: Callable[[], Awaitable[None]], log: logging.Logger) -> None:
    """Do it, however often it takes: an agent that raises would make Faust skip the record."""
    while True:
        try:
            return await work()
        except Exception:  # the agents' boundary
            log.exception("a record could not be taken in; trying it again in %s s", AGAIN_AFTER)
            await asyncio.sleep(AGAIN_AFTER)
