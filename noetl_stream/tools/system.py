"""The system tool: an installation's chores, as playbooks of the pool `system` ask for them."""

from __future__ import annotations

from typing import ClassVar, Literal, assert_never

from pydantic import BaseModel, Field

from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.ports.chores import Chores
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config

POOL = "system"
"""The pool whose workers do them."""


class SystemConfig(Config):
    chore: Literal["expire_results", "clear_scratch", "renew_keys", "failed_executions"] = Field(
        description="what is to be done"
    )
    within: float = Field(
        3600.0, gt=0, description="for `failed_executions`: how far back is looked, in seconds"
    )


class System:
    """`kind: system`. Only workers of the pool `system` have it."""

    kind: ClassVar[str] = "system"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = SystemConfig

    def __init__(self, chores: Chores | None) -> None:
        self._chores = chores

    async def run(self, call: Call) -> Done:
        if self._chores is None:
            raise ToolError(
                "this worker does no chores; run the task on the pool `system`", kind="not_installed"
            )
        try:
            return Done(value=await _done(call.config, self._chores))
        except InfrastructureError as error:
            raise ToolError(str(error), kind="connection", retryable=True) from error

    async def close(self) -> None:
        """The connections belong to whoever made them."""


async def _done(config: SystemConfig, chores: Chores) -> Value:
    match config.chore:
        case "expire_results":
            return await chores.expire_results()
        case "clear_scratch":
            return await chores.clear_scratch()
        case "renew_keys":
            return await chores.renew_keys()
        case "failed_executions":
            return await chores.failed_executions(config.within)
        case _:
            assert_never(config.chore)
