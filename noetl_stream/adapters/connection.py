"""Reaching a broker: one client, one sentence when none answers."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from noetl_stream.adapters.security import Security
from noetl_stream.errors import InfrastructureError

REQUEST_TIMEOUT_MS = 10_000


async def start(client: Any, bootstrap: str, timeout: float, security: Security) -> None:
    """Start an aiokafka client, or stop it again and raise InfrastructureError."""
    try:
        await asyncio.wait_for(client.start(), timeout)
    except BaseException as error:
        await client.stop()
        if isinstance(error, KafkaError | TimeoutError):
            raise unreachable(bootstrap, timeout, security) from error
        raise


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
