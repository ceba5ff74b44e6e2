"""What an installation does for itself, as a task of the pool `system` asks for it."""

from __future__ import annotations

from typing import Protocol

from noetl_stream.core.values import Value


class Chores(Protocol):
    """Each may be done twice, or by two at once. Raises InfrastructureError if what it needs cannot be reached."""

    async def expire_results(self) -> Value:
        """Remove results that nobody alive needs and whose time is over: `{removed, needed}`, both counts."""
        ...

    async def clear_scratch(self) -> Value:
        """Remove the scratch files that processes of this machine left when they were killed: `{removed}`, how many folders."""
        ...

    async def renew_keys(self) -> Value:
        """Bring credentials under the newest key: `{renewed}`, their names. Raises ToolError without a key."""
        ...

    async def failed_executions(self, within: float) -> Value:
        """Those that failed in the last so many seconds, oldest first: `{count, executions: [{execution_id, playbook, step,
        kind, message}]}`. The first hundred are listed, all are counted."""
        ...
