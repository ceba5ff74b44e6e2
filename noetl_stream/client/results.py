"""What an execution left, fetched from the shared cache: values as they are, tables as Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from noetl_stream.core.values import Piped, Value
from noetl_stream.dsl.lookup import is_frame
from noetl_stream.errors import InvalidRequest
from noetl_stream.ports.frames import Cache, Frame
from noetl_stream.worker.hydrate import hydrate
from noetl_stream.worker.keep import as_rows

if TYPE_CHECKING:
    import pyarrow as pa


async def fetched(cache: Cache, value: Value) -> Any:
    """A value of the log with every reference in it followed. Where a table stands, a `pyarrow.Table` stands then."""
    return _with_tables(await hydrate(cache, value), lambda frame: frame.arrow())


async def resolved(cache: Cache, value: Value) -> Value:
    """The same as plain JSON: tables are lists of rows."""
    return _with_tables(await hydrate(cache, value), as_rows)


def table_in(value: Any, step: str) -> pa.Table:
    """The one table of a step's result: itself, or its `rows`.

    Raises:
        InvalidRequest: there is none.
    """
    import pyarrow as pa

    found = value.get("rows") if isinstance(value, Mapping) else value
    if isinstance(found, pa.Table):
        return found
    if isinstance(found, list) and all(isinstance(row, Mapping) for row in found):
        return pa.Table.from_pylist(found)
    raise InvalidRequest(
        f"the result of step '{step}' is no table, nor has it one as `rows`; ask for it with `result('{step}')`"
    )


def _with_tables(value: Any, shown: Callable[[Frame], Any]) -> Any:
    match value:
        case Piped():
            return _with_tables(value.value, shown)
        case dict():
            return {key: _with_tables(each, shown) for key, each in value.items()}
        case list():
            return [_with_tables(each, shown) for each in value]
        case _:
            return shown(value) if is_frame(value) else value
