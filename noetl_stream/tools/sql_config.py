"""What the SQL kinds take: where the database is, the SQL in any of its spellings, and what is bound to it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from noetl_stream.ports.tools import Call
from noetl_stream.tools.config import Config
from noetl_stream.tools.script import Script, Scripts

IN_MEMORY = ":memory:"


class StatementsConfig(Config):
    """The keys that every SQL kind has."""

    query: str | None = Field(None, description="SQL, one statement or several")
    command: str | None = Field(None, description="the same")
    commands: str | list[str] | None = Field(None, description="the same, or a list")
    script: str | Script | None = Field(None, description="the same, or SQL elsewhere as under python")
    params: dict[str, Any] | list[Any] = Field(
        default_factory=list,
        description="a mapping for names in the SQL, or a list for `?`, dealt out over the statements in order; bound, never formatted",
    )
    transaction: bool = Field(False, description="true: all statements or none; else each commits by itself")


class SqlConfig(StatementsConfig):
    """The keys that every embedded database has."""

    database: str = Field(
        IN_MEMORY, description="a file; by default a fresh database in memory for each task"
    )


async def sql_text(config: StatementsConfig, scripts: Scripts, call: Call) -> str:
    """All SQL of a task, in the order of the keys above; a script that stands elsewhere is read as `call` may.

    Raises:
        ToolError: a script cannot be read.
    """
    script = config.script
    parts = [config.query, config.command, *_listed(config.commands)]
    parts.append(await scripts.of_task(script, call) if isinstance(script, Script) else script)
    # A part may end in a line comment, which must not swallow what follows.
    return "\n;\n".join(part for part in parts if part)


def _listed(commands: str | list[str] | None) -> list[str]:
    return [commands] if isinstance(commands, str) else commands or []
