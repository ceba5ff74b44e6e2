"""A source that is a file has to be there: an embedded database would make an empty one."""

from __future__ import annotations

from pathlib import Path

from noetl_stream.errors import ToolError


def existing_file(path: str, said: str) -> None:
    """Raises ToolError if there is no such file."""
    if not Path(path).is_file():
        raise ToolError(f"{said}: there is no file '{path}'; check its path", kind="client_error")
