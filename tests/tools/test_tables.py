"""Which inputs are tables."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.tables import table_of
from tests.contract.cache import KEY, flights


@pytest.mark.parametrize(
    "value",
    [
        flights(),
        flights().to_pylist(),
        flights().to_pydict(),
        pl.from_arrow(flights()),
        {"rows": flights().to_pylist(), "columns": [], "row_count": 3, "command_0": {}},
    ],
    ids=["arrow", "rows", "columns", "polars", "sql"],
)
def test_every_spelling_of_a_table_is_the_same_table(value: Any) -> None:
    table = table_of("t", value)

    assert table is not None
    assert table.to_pylist() == flights().to_pylist()


async def test_a_frame_is_taken_as_it_is_mapped(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    frame = await cache.frame(await cache.put_table(KEY, flights()))

    assert table_of("t", frame) is frame.arrow()


@pytest.mark.parametrize(
    "value", [None, 5, "text", [], [1, 2], [{}], [{"a": 1}, 2], {}, {"a": [1], "b": [1, 2]}, {"a": 1}]
)
def test_anything_else_is_no_table(value: Any) -> None:
    assert table_of("t", value) is None


def test_rows_take_the_union_of_their_keys() -> None:
    table = table_of("t", [{"a": 1}, {"b": "x"}, {"a": 2.5}])

    assert table is not None
    assert table.schema == pa.schema({"a": pa.float64(), "b": pa.string()})


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1}, {"a": "b"}],
        [{"a": True}, {"a": 1}],
        [{"a": 1}, {"a": [1]}],
        [{"a": 1}, {"a": 1 << 63}],
        [{"a": 1 << 60}, {"a": 1.5}],
        [{"a": uuid4()}],
        [{"a": "\ud800"}],
        {"a": [1, "b"]},
        {"a\ud800": [1]},
    ],
)
def test_values_that_no_column_holds_are_told(value: Any) -> None:
    with pytest.raises(ToolError, match=r"rows of input 't' are no table \(.+\); give each") as refused:
        table_of("t", value)
    assert refused.value.kind == "validation"


DAY, NAIVE, ZONED = date(2024, 1, 1), datetime(2024, 1, 2, 3, 4, 5), datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("values", [(DAY, NAIVE), (NAIVE, DAY), (ZONED, DAY), (NAIVE, ZONED), (ZONED, NAIVE)])
@pytest.mark.parametrize(
    "spelled",
    [
        lambda one, two: [{"a": one}, {"b": 1}, {"a": two}],
        lambda one, two: {"a": [one, None, two]},
        lambda one, two: [{"b": {"a": one}}, {"b": {"a": two}}, {"b": None}],
        lambda one, two: [{"a": [one, two]}],
        lambda one, two: {"b": [[{"a": one}], [None, {"a": two}]]},
    ],
    ids=["rows", "columns", "inside", "lists", "inside lists"],
)
def test_a_column_of_dates_and_moments_is_refused(spelled: Any, values: tuple[date, date]) -> None:
    with pytest.raises(ToolError, match=r"input 't' are no table \(.+\); give each column one type"):
        table_of("t", spelled(*values))


def test_a_column_of_dates_and_moments_is_named() -> None:
    with pytest.raises(ToolError, match=r"\(column 'a' mixes dates and datetimes, or those with a zone and"):
        table_of("t", [{"b": {"a": NAIVE}}, {"b": {"a": DAY}}])


def test_dates_and_moments_keep_to_their_columns() -> None:
    rows = [{"day": DAY, "naive": NAIVE, "zoned": ZONED, "days": [DAY], "both": {"day": DAY, "naive": NAIVE}}]
    rows.append(dict.fromkeys(rows[0]))

    table = table_of("t", rows)

    assert table is not None
    assert table.to_pylist() == rows
