"""The tool that does nothing, and may yield a constant."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config


class NoopConfig(Config):
    result: Any = Field(None, description="the constant it yields")


class Noop:
    """`kind: noop`."""

    kind: ClassVar[str] = "noop"
    nature: ClassVar[Nature] = "pure"
    config: ClassVar[type[BaseModel]] = NoopConfig

    async def run(self, call: Call) -> Done:
        return Done(value=call.config.result)

    async def close(self) -> None:
        """Nothing is held open."""
