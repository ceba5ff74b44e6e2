"""Every kind of end with every other, over a table of every type."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.tools.conftest import Run
from tests.tools.transfer.places import move, place
from tests.tools.transfer.tables import every

EXACT = ("postgres", "duckdb", "parquet")
TYPES = {field.name: field.type for field in every().schema} | {"id": pa.string(), "document": pa.string()}
"""A frame holds uuids and JSON as text, as every tool yields them."""
TEXT = ("sqlite", "csv", "json")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), list(product(EXACT, EXACT)))
async def test_every_type_travels_exactly(
    first: str, second: str, run: Run, tmp_path: Path, database: str
) -> None:
    here, there = place(first, "here", tmp_path, database), place(second, "there", tmp_path, database)

    await move(run, None, here, every())
    moved = await move(run, here, there)
    found = (await move(run, there, None))["frame"]

    assert moved["rows"] == 3
    types = {field.name: field.type for field in found.schema}
    # PostgreSQL does not tell with how many digits the numbers of an array were declared.
    assert types["amounts"] in (TYPES["amounts"], pa.list_(pa.decimal128(38, 4)))
    assert types | {"amounts": TYPES["amounts"]} == TYPES
    assert found.to_pylist() == shown(every())


def shown(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as a frame shows them."""
    return [row | {"id": row["id"] and str(row["id"])} for row in table.to_pylist()]


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [*product(EXACT, TEXT), *product(TEXT, TEXT)])
async def test_what_an_end_has_no_type_for_is_exact_as_text(
    first: str, second: str, run: Run, tmp_path: Path, database: str
) -> None:
    here, there = place(first, "here", tmp_path, database), place(second, "there", tmp_path, database)
    back = place("postgres", "back", tmp_path, database)
    # JSON of several shapes in one column is no column of a file of JSON lines.
    table = every().select([name for name in SCALARS if "json" not in (first, second) or name != "document"])
    given = {"types": {"text": "string", "amount": "decimal(20,4)"}}

    await move(run, None, here, table)
    here = replace(here, end=here.end | (given if first == "csv" else {}))
    await move(run, here, there)
    await move(run, None, back, table.slice(0, 0))
    await move(run, replace(there, end=there.end | (given if second == "csv" else {})), back)
    found = (await move(run, back, None))["frame"]

    assert found.to_pylist() == shown(table)


SCALARS = [
    "flag", "small", "number", "wide", "double", "amount", "text", "day", "naive", "moment", "id", "document",
]  # fmt: skip
