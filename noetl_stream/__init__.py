"""NoETL playbooks on Kafka, Faust and Arrow. `Client` and `AsyncClient` are what services use; the rest is the `noetl-stream` command's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noetl_stream.client.blocking import Client, Execution
    from noetl_stream.client.connection import AsyncClient, AsyncExecution, Outcome
    from noetl_stream.client.jobs import Options

__all__ = ["AsyncClient", "AsyncExecution", "Client", "Execution", "Options", "Outcome"]


def __getattr__(name: str) -> Any:
    """Loaded by the first who asks: a command that needs none of it starts without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from noetl_stream.client import blocking, connection, jobs

    return next(getattr(room, name) for room in (blocking, connection, jobs) if hasattr(room, name))
