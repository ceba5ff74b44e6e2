"""Types of columns as a playbook names them."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.columns import JSON

_NAMES: Final = {
    "string": pa.string(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "integer": pa.int64(),
    "bigint": pa.int64(),
    "float64": pa.float64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "binary": pa.binary(),
    "json": JSON,
}
_DECIMAL: Final = re.compile(r"(?:decimal|numeric)\((\d+)\s*,\s*(\d+)\)")


def named_types(names: dict[str, str], said: str) -> dict[str, pa.DataType]:
    """Raises ToolError for a name that is none."""
    return {column: _named(column, name.strip().lower(), said) for column, name in names.items()}


def _named(column: str, name: str, said: str) -> pa.DataType:
    if found := _DECIMAL.fullmatch(name):
        precision, scale = int(found[1]), int(found[2])
        if 1 <= precision <= 76 and scale <= precision:
            return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    elif name in _NAMES:
        return _NAMES[name]
    raise ToolError(
        f"{said}: column '{column}' has an unknown type '{name}'; write {', '.join(_NAMES)} or decimal(p,s)",
        kind="validation",
    )
