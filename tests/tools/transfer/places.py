"""Places that rows are moved between: real ends, each under a name of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.tools.conftest import Run
from tests.tools.transfer.conftest import secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An end, under a name of its own."""

    end: dict[str, Any]
    url: str | None = field(repr=False)


def place(kind: str, name: str, tmp_path: Path, dsn: str) -> Place:
    match kind:
        case "postgres":
            return Place(end={"kind": kind, "table": name}, url=dsn)
        case "duckdb" | "sqlite":
            return Place(
                end={"kind": kind, "table": name, "database": str(tmp_path / f"{name}.db")}, url=None
            )
        case _:
            return Place(end={"kind": kind, "path": str(tmp_path / f"{name}.{kind}")}, url=None)


async def move(
    run: Run,
    source: Place | None,
    target: Place | None,
    table: pa.Table | None = None,
    effect: str = "e1",
    once: bool = False,
    timeout: float | None = 50.0,
    **config: Any,
) -> Any:
    """From one place to another; a frame in place of a table's."""
    ends = [{"kind": "frame"} if each is None else each.end for each in (source, target)]
    urls = {
        name: each.url
        for name, each in (("source", source), ("target", target))
        if each is not None and each.url
    }
    given = {} if table is None else {"input": {"rows": table}}
    call = {"effect_key": effect, "once": once, "timeout": timeout, **given, **secrets(**urls)}
    return await run({"source": ends[0], "target": ends[1], **config}, **call)
