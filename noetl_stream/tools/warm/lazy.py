"""How a polars task runs: inputs become lazy frames, and its last word is the result."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from typing import Any

from noetl_stream.tools.warm.code import MODULE, FellThrough, execute, parse
from noetl_stream.tools.warm.rows import Mapped

_LAST = "__noetl_last__"


def run(request: Mapping[str, Any]) -> Any:
    """What the code returned, or `result`, or its last expression; or the answer to `sql`. Lazy frames are left to the writer."""
    import polars as pl

    inputs = {name: lazy(value) for name, value in request["input"].items()}
    if request["sql"] is not None:
        frames = {name: frame for name, frame in inputs.items() if isinstance(frame, pl.LazyFrame)}
        return pl.SQLContext(frames).execute(request["sql"], eager=False)
    names = {"pl": pl, **inputs, "__name__": MODULE, "__builtins__": builtins}
    ended = execute(_with_last_value(parse(request["code"])), names)
    if not isinstance(ended, FellThrough):
        return ended
    return ended.names["result"] if ended.has_result(inputs) else ended.names.get(_LAST)


def lazy(value: Any) -> Any:
    """A lazy frame over a table, a list of rows, a mapping of columns or an SQL result; anything else as it is."""
    import polars as pl

    match value:
        case Mapped():
            return value.lazy()
        case {"rows": rows, "columns": _, "row_count": _}:
            return lazy(rows)
        case [dict(), *_] if all(isinstance(row, dict) for row in value):
            return pl.LazyFrame(value, infer_schema_length=None)
        case dict() if value and _are_columns(list(value.values())):
            return pl.LazyFrame(value)
        case _:
            return value


def _are_columns(values: list[Any]) -> bool:
    return all(isinstance(v, list) for v in values) and len({len(v) for v in values}) == 1


def _with_last_value(tree: ast.Module) -> ast.Module:
    match tree.body:
        case [*_, ast.Expr(value=value) as last]:
            name = ast.copy_location(ast.Name(id=_LAST, ctx=ast.Store()), last)
            tree.body[-1] = ast.copy_location(ast.Assign(targets=[name], value=value), last)
    return tree
