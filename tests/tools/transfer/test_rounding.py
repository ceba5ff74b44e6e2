"""Nothing is rounded, cut or made null on its way without a word: it is refused, and nothing of it is there."""

from __future__ import annotations

import math
import os
import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from tests.tools.conftest import Run
from tests.tools.transfer.places import move, place

NOON = datetime(2024, 1, 1, 12)


def one(value: object, kind: pa.DataType) -> pa.Table:
    return pa.table({"a": pa.array([value], kind)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "value", "kind"),
    [
        ("numeric(9,2)", "1.005", pa.string()),
        ("numeric(9,2)", 1.005, pa.float64()),
        ("numeric(9,2)[]", ["1.25", "1.005"], pa.list_(pa.string())),
        ("real", "0.123456789012", pa.string()),
        ("double precision", "0.12345678901234567890", pa.string()),
        ("date", "2024-01-01 12:00", pa.string()),
        ("time", "2024-01-01 12:00", pa.string()),
        ("timestamptz", "2024-01-01 12:00:00.0000005+00", pa.string()),
        ("time", NOON, pa.timestamp("us")),
        ("real", 0.123456789012, pa.float64()),
        ("double precision", Decimal("1234567890123456.7890"), pa.decimal128(20, 4)),
        ("interval", 1001, pa.duration("ns")),
    ],
)
async def test_postgres_is_given_nothing_that_it_would_round(
    declared: str, value: object, kind: pa.DataType, run: Run, tmp_path: Path, database: str
) -> None:
    there = place("postgres", "there", tmp_path, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE there (a {declared})".encode())

        with pytest.raises(ToolError, match=r"column 'a'.* is no ") as refused:
            await move(run, None, there, one(value, kind))

        assert refused.value.kind == "validation"
        assert connection.execute("SELECT count(*) FROM there").fetchone() == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "value", "kind", "held"),
    [
        ("numeric(9,2)", " 1.50 ", pa.string(), Decimal("1.50")),
        ("numeric(9,2)", 19.99, pa.float64(), Decimal("19.99")),
        ("numeric(9,2)", "NaN", pa.string(), Decimal("NaN")),
        ("numeric(9,2)[]", ["1.25", None], pa.list_(pa.string()), [Decimal("1.25"), None]),
        ("double precision", "0.1", pa.string(), 0.1),
        ("double precision", "Infinity", pa.string(), math.inf),
        ("date", "2024-01-01 00:00", pa.string(), date(2024, 1, 1)),
        ("timestamp", "2024-01-01 12:00:00.0000000", pa.string(), NOON),
        ("interval", 1000, pa.duration("ns"), timedelta(microseconds=1)),
    ],
)
async def test_what_postgres_holds_it_is_given(
    declared: str,
    value: object,
    kind: pa.DataType,
    held: object,
    run: Run,
    tmp_path: Path,
    database: str,
) -> None:
    there = place("postgres", "there", tmp_path, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE there (a {declared})".encode())

        await move(run, None, there, one(value, kind))

        found = connection.execute("SELECT a FROM there").fetchone()
        assert str(found) == str((held,))


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("INTEGER", "1.5"),
        ("DECIMAL(9,2)", "1.005"),
        ("DATE", "2024-01-01 12:00:00"),
        ("TIMESTAMP", "2024-01-01 12:00:00.0000005"),
    ],
)
async def test_duckdb_is_given_no_text_that_it_would_round(
    declared: str, value: str, run: Run, tmp_path: Path
) -> None:
    there = place("duckdb", "there", tmp_path, "")
    with duckdb.connect(there.end["database"]) as connection:
        connection.execute(f"CREATE TABLE there (a {declared})")

    with pytest.raises(ToolError, match="column 'a', rows 0 to 0: a value is no"):
        await move(run, None, there, one(value, pa.string()))


async def test_a_new_duckdb_table_keeps_nanoseconds_or_refuses_them(run: Run, tmp_path: Path) -> None:
    there, other = (place("duckdb", name, tmp_path, "") for name in ("there", "other"))

    await move(run, None, there, one(1, pa.timestamp("ns")))
    with pytest.raises(ToolError, match=r"a value is no duration\[us\]"):
        await move(run, None, other, one(1, pa.duration("ns")))

    assert (await move(run, there, None))["frame"].column("a").cast(pa.int64()).to_pylist() == [1]


async def test_sqlite_makes_no_null_of_nan_and_no_fewer_digits(run: Run, tmp_path: Path) -> None:
    there = place("sqlite", "there", tmp_path, "")
    exact, wide = Decimal("19.99"), Decimal("12345678901234567.89")
    with closing(sqlite3.connect(there.end["database"])) as connection:
        connection.execute("CREATE TABLE there (a NUMERIC)")

        with pytest.raises(ToolError, match="column 'a': sqlite has no NaN, and would hold null"):
            await move(run, None, there, one(math.nan, pa.float64()))
        with pytest.raises(ToolError, match="a value is no double"):
            await move(run, None, there, one(wide, pa.decimal128(38, 2)))
        await move(run, None, there, one(exact, pa.decimal128(38, 2)))
        await move(run, None, there, one(Decimal(2**60 + 1), pa.decimal128(38, 0)))

        assert connection.execute("SELECT a FROM there").fetchall() == [(19.99,), (2**60 + 1,)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (math.nan, pa.float64()),
        ([1.0, math.inf], pa.list_(pa.float64())),
        ({"x": {"y": math.nan}}, pa.struct([("x", pa.struct([("y", pa.float32())]))])),
        ([("x", -math.inf)], pa.map_(pa.string(), pa.float64())),
    ],
)
async def test_json_makes_no_null_of_nan(value: object, kind: pa.DataType, run: Run, tmp_path: Path) -> None:
    there = place("json", "there", tmp_path, "")

    with pytest.raises(ToolError, match="column 'a': JSON has no NaN and no infinity"):
        await move(run, None, there, one(value, kind))

    assert os.listdir(tmp_path) == []
