"""Where facts about executions are reported: by intake, workers, and parents and children of one another."""

from __future__ import annotations

from typing import Protocol

from noetl_stream.core.events import Fact


class FactLog(Protocol):
    """Appends facts to the event log, each to the partition where its execution lives."""

    async def report(self, execution: int, fact: Fact) -> None:
        """Returns once the fact is durable. Raises AppendUnknown or InfrastructureError otherwise."""
        ...
