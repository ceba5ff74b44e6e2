"""Names in SQL, as they are written."""

from __future__ import annotations


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str) -> str:
    """The table's name, each of its parts in quotes."""
    return ".".join(quoted(part) for part in table.split("."))
