"""What the pool and its children say to each other: length-prefixed JSON, in which a table is a number of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

TABLE = "$noetl.table"
PREFIX_BYTES = 8

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def prefixed(body: bytes) -> bytes:
    """A message as it travels."""
    return len(body).to_bytes(PREFIX_BYTES, "big") + body


def dumps(
    message: Any, table: Callable[[Any], int | None], plain: Callable[[Any], Any] | None = None
) -> bytes:
    """JSON in which what `table` numbers is `{"$noetl.table": n}`, and `plain` spells what else is not JSON."""

    def default(item: Any) -> Any:
        number = table(item)
        if number is not None:
            return {TABLE: number}
        if plain is None:
            raise TypeError(f"a {type(item).__name__} is not JSON")
        return plain(item)

    return orjson.dumps(message, default=default, option=_OPTIONS)


def restore(value: Any, tables: list[Any]) -> Any:
    """Put the tables back where their numbers stand."""
    if not tables:
        return value
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(number := value.get(TABLE), int):
            return tables[number]
        return {key: restore(item, tables) for key, item in value.items()}
    return [restore(item, tables) for item in value] if isinstance(value, list) else value
