"""What of a table, or of a result, becomes JSON, and how: dates as ISO text, exact decimals as numbers, bytes as base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from noetl_stream.core.values import decimal_number


def as_json(table: Any) -> list[dict[str, Any]]:
    """The rows of a table or a batch, as templates read them."""
    found: list[dict[str, Any]] = table.to_pylist(maps_as_pydicts="lossy")
    columns = [field.name for field in table.schema if not _is_json(field.type)]
    for row in found if columns else ():
        for name in columns:
            row[name] = json_value(row[name])
    return found


def _is_json(kind: Any) -> bool:
    import pyarrow as pa

    of = pa.types
    return any(
        test(kind)
        for test in (
            of.is_integer,
            of.is_floating,
            of.is_boolean,
            of.is_string,
            of.is_large_string,
            of.is_null,
        )
    )


def json_value(value: Any) -> Any:
    """A value of a table, as JSON."""
    match value:
        case dict():
            return {name: json_value(each) for name, each in value.items()}
        case list():
            return [json_value(each) for each in value]
        case Decimal():
            return decimal_number(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return b64encode(value).decode()
        case _:
            return value


def plain(item: Any) -> Any:
    """JSON for what has an obvious one."""
    if isinstance(item, Decimal | timedelta | bytes):
        return json_value(item)
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, KeysView | ValuesView | ItemsView | Sequence):
        return list(item)
    if is_dataclass(item):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    for listing in ("to_list", "to_pylist", "tolist"):
        if hasattr(item, listing):
            return getattr(item, listing)()
    raise TypeError(
        f"the result holds a {type(item).__name__}, which is not JSON; "
        "return mappings, lists, text, numbers, a Polars frame or an Arrow table"
    )
