"""A table of every type that travels exactly between any two of PostgreSQL, DuckDB, Parquet and a frame."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa

JSON = pa.json_(pa.string())

EVERY = pa.schema(
    [
        ("flag", pa.bool_()),
        ("small", pa.int16()),
        ("number", pa.int32()),
        ("wide", pa.int64()),
        ("single", pa.float32()),
        ("double", pa.float64()),
        ("amount", pa.decimal128(20, 4)),
        ("text", pa.string()),
        ("bytes", pa.binary()),
        ("day", pa.date32()),
        ("hour", pa.time64("us")),
        ("naive", pa.timestamp("us")),
        ("moment", pa.timestamp("us", "UTC")),
        ("id", pa.uuid()),
        ("document", JSON),
        ("numbers", pa.list_(pa.int64())),
        ("words", pa.list_(pa.string())),
        ("amounts", pa.list_(pa.decimal128(20, 4))),
        ("moments", pa.list_(pa.timestamp("us", "UTC"))),
    ]
)

ROWS = [
    {
        "flag": True,
        "small": -32768,
        "number": 2147483647,
        "wide": -9223372036854775808,
        "single": 1.5,
        "double": 0.1,
        "amount": Decimal("1234567890123456.7890"),
        "text": "Zürich, \"quoted\"\n007\t\\N",
        "bytes": b"\x00\xff\\x",
        "day": date(1969, 12, 31),
        "hour": time(23, 59, 59, 999999),
        "naive": datetime(2024, 2, 29, 1, 2, 3, 456789),
        "moment": datetime(2024, 3, 31, 1, 30, 0, 1, UTC),
        "id": UUID("11111111-2222-3333-4444-55555555abcd").bytes,
        "document": '{"a": [1, null, "x"]}',
        "numbers": [1, None, 3],
        "words": ["a,b", "", None, "{\"}"],
        "amounts": [Decimal("0.0001"), None],
        "moments": [datetime(2024, 1, 1, tzinfo=UTC)],
    },
    dict.fromkeys(EVERY.names),
    {
        **dict.fromkeys(EVERY.names),
        "flag": False,
        "text": "",
        "bytes": b"",
        "amount": Decimal("-0.0001"),
        "document": '"text"',
        "numbers": [],
        "words": [],
    },
]  # fmt: skip


def every() -> pa.Table:
    """One row full, one of nulls, one of what is empty."""
    arrays = []
    for field in EVERY:
        storage = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        values = pa.array([row[field.name] for row in ROWS], storage)
        arrays.append(pa.ExtensionArray.from_storage(field.type, values) if storage != field.type else values)
    return pa.Table.from_arrays(arrays, schema=EVERY)
