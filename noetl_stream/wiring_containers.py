"""Where container tasks run, put together from the settings: a Kubernetes, or nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from noetl_stream.adapters.security import client_context
from noetl_stream.settings import Settings
from noetl_stream.tools.container.cluster import Address, Cluster


@asynccontextmanager
async def open_cluster(settings: Settings) -> AsyncIterator[Cluster | None]:
    """None where no Kubernetes is named. Nothing is asked of it yet. Raises InvalidRequest for an unusable `kubernetes_ca`."""
    if not settings.kubernetes:
        yield None
        return
    ca = settings.kubernetes_ca
    address = Address(
        server=settings.kubernetes,
        token_file=settings.kubernetes_token_file,
        tls=None if ca is None else client_context(ca, None, None),
        namespaces=settings.kubernetes_namespaces,
        instance=settings.kubernetes_instance,
    )
    cluster = Cluster(address)
    try:
        yield cluster
    finally:
        await cluster.close()
