"""Reaching a broker: one client, one sentence when none answers."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from noetl_stream.errors import InfrastructureError

REQUEST_TIMEOUT_MS = 10_000


async def start(client: Any, bootstrap: str, timeout: float) -> None:
    """Start an aiokafka client, or stop it again and raise InfrastructureError."""
    try:
        await asyncio.wait_for(client.start(), timeout)
    except (KafkaError, TimeoutError) as error:
        await client.stop()
        raise unreachable(bootstrap, timeout) from error


def unreachable(bootstrap: str, timeout: float) -> InfrastructureError:
    return InfrastructureError(
        f"no Kafka broker answers at {bootstrap} after {timeout:g} s; is it running? "
        "Start one with `noetl-stream up`, or name another with --bootstrap"
    )
