"""DuckDB's extensions, from wheels: nothing is downloaded while a task runs, nor looked for in anybody's home folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb

from noetl_stream.errors import ToolError


def load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension into a connection.

    Raises:
        ToolError: there is none for this release of DuckDB.
    """
    spec = find_spec(f"duckdb_extension_{name}")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    files = [
        folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension" for folder in folders
    ]
    found = next((file for file in files if file.exists()), None)
    if found is None:
        raise ToolError(
            f"the extension '{name}' is not installed for DuckDB {duckdb.__version__}; pip install 'noetl-stream[ducklake]'",
            kind="not_installed",
        )
    connection.load_extension(str(found))
