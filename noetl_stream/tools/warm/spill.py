"""Tables of a result, written to files that the parent maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from noetl_stream.tools.warm.rows import Mapped


class Spill:
    """Writes each table of a result as the next Arrow IPC file of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0

    def __call__(self, item: Any) -> int | None:
        """The table's number, or None if `item` is no table. Lazy frames run on the streaming engine into the file."""
        write = _writer(item)
        if write is None:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._folder / f"{self.count}.arrow")
        self.count += 1
        return self.count - 1


def _writer(item: Any) -> Callable[[Path], Any] | None:
    if isinstance(item, Mapped):
        return lambda path: _write_arrow(item, path)
    if hasattr(item, "sink_ipc"):
        return lambda path: item.sink_ipc(path, compat_level=_compatible(), engine="streaming")
    if hasattr(item, "write_ipc"):
        return lambda path: item.write_ipc(path, compat_level=_compatible())
    if hasattr(item, "__arrow_c_stream__") and hasattr(item, "columns"):
        return lambda path: _write_arrow(item, path)
    return None


def _compatible() -> Any:
    """String views are not read everywhere."""
    import polars as pl

    return pl.CompatLevel.oldest()


def _write_arrow(item: Any, path: Path) -> None:
    import pyarrow as pa

    table = pa.table(item).unify_dictionaries()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
