"""Reaching a broker: one client, one sentence when none answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError, ProducerClosed

from noetl_stream.adapters.security import Security
from noetl_stream.errors import InfrastructureError

REQUEST_TIMEOUT_MS = 10_000
CLOSING_SECONDS = 3.0
"""Longer than brokers that are well need; a supervisor kills what does not end in about ten."""


async def start(client: Any, bootstrap: str, timeout: float, security: Security) -> None:
    """Start an aiokafka client, or stop it again and raise InfrastructureError."""
    try:
        await asyncio.wait_for(client.start(), timeout)
    except BaseException as error:
        await client.stop()
        if isinstance(error, KafkaError | TimeoutError):
            raise unreachable(bootstrap, timeout, security) from error
        raise


async def stop_consumer(consumer: Any) -> None:
    """Stop an aiokafka consumer, whatever its brokers do."""
    await end_fetches(consumer)
    await consumer.stop()


async def stop_producer(producer: Any) -> None:
    """Stop an aiokafka producer of whose records everybody knows by now what became of them.

    An idempotent producer never gives a batch up that nobody waits for any more: `stop` alone would flush for ever. Nor
    need a request to a silent broker be waited for. aiokafka has no public word for either.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(producer._sender.close(), CLOSING_SECONDS)
    producer._message_accumulator.fail_all(ProducerClosed())
    await producer.stop()


async def end_fetches(consumer: Any) -> None:
    """Fetch nothing more: to be called before `stop`.

    A fetch that failed waits before its next try, and aiokafka lets the cancellation of that wait out of `stop`: to our
    own code it looked as if it were cancelled itself, and connections stayed open.
    """
    fetcher = consumer._fetcher
    if fetcher is None:
        return
    fetcher._fetch_task.cancel()
    await asyncio.wait({fetcher._fetch_task})
    for fetch in fetcher._pending_tasks:
        fetch.cancel()
    await asyncio.gather(*fetcher._pending_tasks, return_exceptions=True)
    fetcher._pending_tasks.clear()


def unreachable(bootstrap: str, timeout: float, security: Security) -> InfrastructureError:
    silent = f"no Kafka broker answers at {bootstrap} after {timeout:g} s"
    if security.login is not None:
        return InfrastructureError(
            f"{silent} to a login as '{security.login.username}' over {security.protocol}; is it running, and are the "
            "user, the password and the certificates right? The broker's log says more"
        )
    if security.tls is not None:
        return InfrastructureError(
            f"{silent} over {security.protocol}; is it running, and does it show a certificate of NOETL_STREAM_TLS_CA?"
        )
    return InfrastructureError(
        f"{silent}; is it running? Start one with `noetl-stream up`, or name another with --bootstrap"
    )
