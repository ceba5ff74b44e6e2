"""The polars tool: expressions over lazy frames, or SQL, on the streaming engine.

It runs in the warm subprocesses and not in a thread: its `code` is a user's Python, which may hang, leak or crash, and
only a process of its own can be stopped and bounded. The result is streamed into a file and mapped here.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field, model_validator

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.warm.pool import WarmPool, Work


class PolarsConfig(Config):
    code: str | None = Field(
        None,
        description="Python in which every table of `input` is a `LazyFrame` by its name and `pl` is Polars",
    )
    sql: str | None = Field(None, description="one query over the same tables")

    @model_validator(mode="after")
    def _one_program(self) -> PolarsConfig:
        if (self.code is None) == (self.sql is None):
            raise ValueError("polars needs `code` or `sql`, and not both")
        return self


class Polars:
    """`kind: polars`."""

    kind: ClassVar[str] = "polars"
    nature: ClassVar[Nature] = "read"
    config: ClassVar[type[BaseModel]] = PolarsConfig

    def __init__(self, pool: WarmPool) -> None:
        self._pool = pool

    async def run(self, call: Call) -> Done:
        config: PolarsConfig = call.config
        more = {"code": config.code, "sql": config.sql}
        work = Work(operation="polars", input=call.input, context={}, more=more, frames="mapped")
        return Done(value=await self._pool.run(work, call.timeout))

    async def close(self) -> None:
        """The pool belongs to whoever made it."""
