"""Any values of every type, over any two ends that keep types: what comes out is what went in."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.tools.conftest import Run
from tests.tools.transfer.places import move, place
from tests.tools.transfer.tables import EVERY

EXACT = ("postgres", "duckdb", "parquet")
# PostgreSQL's text has no NUL, and half of a surrogate pair is no text.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
AMOUNTS = st.integers(-(10**20) + 1, 10**20 - 1).map(lambda n: Decimal(n).scaleb(-4))
MOMENTS = st.datetimes(max_value=datetime(9999, 12, 30), min_value=datetime(1, 1, 2)).map(
    lambda each: each.replace(tzinfo=UTC)
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
).map(lambda value: orjson.dumps(value).decode())
WIDE = st.integers(-(2**63), 2**63 - 1)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "small": st.integers(-(2**15), 2**15 - 1),
    "number": st.integers(-(2**31), 2**31 - 1),
    "wide": WIDE,
    "single": st.floats(width=32),
    "double": st.floats(),
    "amount": AMOUNTS,
    "text": TEXTS,
    "bytes": st.binary(max_size=20),
    "day": st.dates(),
    "hour": st.times(max_value=time(23, 59, 59, 999999)),
    "naive": st.datetimes(),
    "moment": MOMENTS,
    "id": st.uuids().map(lambda each: each.bytes),
    "document": DOCUMENTS,
    "numbers": st.lists(st.none() | WIDE, max_size=4),
    "words": st.lists(st.none() | TEXTS, max_size=4),
    "amounts": st.lists(st.none() | AMOUNTS, max_size=4),
    "moments": st.lists(st.none() | MOMENTS, max_size=4),
}
TABLES = st.lists(
    st.fixed_dictionaries({name: st.none() | each for name, each in VALUES.items()}), max_size=12
)


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    columns = []
    for field in EVERY:
        storage = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        values = pa.array([row[field.name] for row in rows], storage)
        columns.append(
            pa.ExtensionArray.from_storage(field.type, values) if storage != field.type else values
        )
    return pa.Table.from_arrays(columns, schema=EVERY)


def shown(table: pa.Table) -> dict[str, list[object]]:
    """Columns as text, so that NaN is itself; a document as what it says."""
    return {name: [_shown(name, each) for each in table.column(name).to_pylist()] for name in VALUES}


def _shown(name: str, value: Any) -> object:
    match name:
        case _ if value is None:
            return None
        case "document":
            return orjson.loads(value)
        case "single" | "double":
            # Some versions of DuckDB store -0.0 as 0.0 where a column has both.
            return repr(value + 0.0)
        case "id":
            return str(value)
        case "amounts":
            # PostgreSQL does not tell with how many digits the numbers of an array were declared.
            return list(value)
        case _:
            return repr(value)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), list(product(EXACT, EXACT)))
@settings(
    max_examples=12,
    deadline=None,
    # To shrink an example takes hundreds of transfers, more than a test has time for.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    # Each example has ends of its own.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(rows=TABLES)
async def test_any_values_travel_exactly(
    first: str, second: str, run: Run, tmp_path: Path, database: str, rows: list[dict[str, Any]]
) -> None:
    name = f"t{uuid4().hex}"
    here, there = place(first, f"{name}a", tmp_path, database), place(second, f"{name}b", tmp_path, database)
    table = table_of(rows)

    await move(run, None, here, table)
    await move(run, here, there)
    found = (await move(run, there, None))["frame"]

    back, gone = shown(found), shown(table)
    assert {name: back[name] for name in VALUES if back[name] != gone[name]} == {
        name: gone[name] for name in VALUES if back[name] != gone[name]
    }
