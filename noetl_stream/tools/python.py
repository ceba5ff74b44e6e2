"""The python tool: a user's code in a warm subprocess, with plain copies of its inputs."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.script import Script, Scripts
from noetl_stream.tools.warm.pool import Frames, WarmPool, Work


class Import(Config):
    """`from … import …`, bound to its alias."""

    source: str = Field(alias="from")
    name: str = Field(alias="import")


class PythonConfig(Config):
    code: str | None = Field(None, description="the program")
    script: Script | None = Field(None, description="the program elsewhere; never rendered")
    libs: dict[str, str | Import] | list[Any] = Field(
        default_factory=dict,
        description="`alias: module` or `alias: {from, import}`; a list only states distributions",
    )
    frames: Frames = Field(
        "rows",
        description="what tables arrive as",
    )

    @model_validator(mode="after")
    def _one_program(self) -> PythonConfig:
        if (self.code is None) == (self.script is None):
            raise ValueError("python needs `code` or `script`, and not both")
        return self


class Python:
    """`kind: python`. A read unless its step says otherwise: what code does to the world is known to its author alone."""

    kind: ClassVar[str] = "python"
    nature: ClassVar[Nature] = "read"
    config: ClassVar[type[BaseModel]] = PythonConfig

    def __init__(self, pool: WarmPool, scripts: Scripts) -> None:
        self._pool, self._scripts = pool, scripts

    async def run(self, call: Call) -> Done:
        config: PythonConfig = call.config
        code = config.code
        if config.script is not None:
            code = await self._scripts.of_task(config.script, call)
        work = Work(
            operation="python",
            input=call.input,
            context={**call.context, "execution_id": str(call.execution)},
            more={"code": code, "libs": _libraries(config)},
            frames=config.frames,
        )
        return Done(value=await self._pool.run(work, call.timeout))

    async def close(self) -> None:
        """The pool belongs to whoever made it."""


def _libraries(config: PythonConfig) -> dict[str, Any]:
    if isinstance(config.libs, list):
        return {}
    return {
        alias: spec if isinstance(spec, str) else {"from": spec.source, "import": spec.name}
        for alias, spec in config.libs.items()
    }
