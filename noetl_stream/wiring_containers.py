"""Where container tasks run, put together from the settings: a Kubernetes, an engine of this host, or nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from noetl_stream.adapters.security import client_context
from noetl_stream.errors import InvalidRequest
from noetl_stream.settings import Settings
from noetl_stream.tools.container.cluster import Address, Cluster
from noetl_stream.tools.container.engine import Engine
from noetl_stream.tools.container.engine_api import SCHEME, EngineAddress, EngineApi
from noetl_stream.tools.container.kubernetes import Kubernetes
from noetl_stream.tools.container.runtime import Runtime


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime | None]:
    """None where none is named. Nothing is asked of it yet.

    Raises:
        InvalidRequest: both are named, or `kubernetes_ca` is unusable.
    """
    if settings.kubernetes and settings.container_engine:
        raise InvalidRequest(
            "containers run in one place; unset NOETL_STREAM_KUBERNETES or NOETL_STREAM_CONTAINER_ENGINE"
        )
    runtime = _engine(settings) if settings.container_engine else _kubernetes(settings)
    try:
        yield runtime
    finally:
        if runtime is not None:
            await runtime.close()


def _engine(settings: Settings) -> Runtime:
    socket = Path(settings.container_engine.removeprefix(SCHEME))
    return Engine(EngineApi(EngineAddress(socket=socket, instance=settings.kubernetes_instance)))


def _kubernetes(settings: Settings) -> Runtime | None:
    if not settings.kubernetes:
        return None
    ca = settings.kubernetes_ca
    address = Address(
        server=settings.kubernetes,
        token_file=settings.kubernetes_token_file,
        tls=None if ca is None else client_context(ca, None, None),
        namespaces=settings.kubernetes_namespaces,
        instance=settings.kubernetes_instance,
    )
    return Kubernetes(Cluster(address))
