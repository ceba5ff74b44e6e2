"""What goes wrong at either end, in one sentence each, with nothing half done and the thread free again."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from pydantic import ValidationError

from noetl_stream.errors import ToolError
from noetl_stream.tools.duckdb import Duckdb
from noetl_stream.tools.transfer.config import TransferConfig
from noetl_stream.tools.transfer.stores import Disk
from noetl_stream.tools.transfer.tool import Transfer
from tests.tools.conftest import Run, call, unreachable, until
from tests.tools.transfer.conftest import secrets
from tests.tools.transfer.places import Place, move, place

ROWS = pa.table({"id": [1, 2], "name": ["one", "two"]})
FRAME = {"kind": "frame"}
ENDLESS = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE a.range * b.range % 7 = 3"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"source": {"kind": "postgre", "table": "t"}}, "the source has an unknown kind 'postgre'; did you mean 'postgres'?"),
        ({"source": {"kind": "ftp"}}, "the source has an unknown kind 'ftp'; there are postgres, duckdb"),
        ({"source": {"table": "t"}}, "the source needs a `kind`"),
        ({"source": {"kind": "postgres"}}, "the source needs a `table` or a `query`, and not both"),
        ({"target": {"kind": "postgres", "query": "SELECT 1"}}, "the target needs a `table`, and takes no `query`"),
        ({"target": {"kind": "postgres", "table": "t", "mode": "upsert"}}, "`mode: upsert` needs `keys`"),
        ({"target": {"kind": "csv", "path": "x"}, "mode": "upsert", "keys": "id"}, "a csv target has no rows to update"),
    ],
)  # fmt: skip
def test_a_config_that_means_nothing_is_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TransferConfig.model_validate({"source": FRAME, "target": FRAME} | config)

    assert sentence in str(refused.value)


def test_what_belongs_to_a_target_may_stand_there() -> None:
    target = {"type": "pg", "table": "t", "mode": "upsert", "keys": "id", "mapping": {"id": "n"}}

    config = TransferConfig.model_validate({"source": FRAME, "target": target})

    assert (config.target.kind, config.mode, config.keys, config.mapping) == (
        "postgres",
        "upsert",
        ["id"],
        {"id": "n"},
    )


async def test_an_end_without_a_credential_says_so(run: Run) -> None:
    config = {"source": {"kind": "postgres", "table": "t"}, "target": FRAME}

    with pytest.raises(ToolError, match=r"the source of the transfer names no credential") as failed:
        await run(config, **secrets(target="postgresql://u:p@localhost/db"))

    assert failed.value.kind == "credential"


@pytest.mark.slow
async def test_a_wrong_password_is_told_without_it(run: Run, database: str) -> None:
    wrong = database.replace(str(psycopg.conninfo.conninfo_to_dict(database)["password"]), "not-the-password")

    with pytest.raises(ToolError, match="password authentication failed") as failed:
        await move(run, Place(end={"kind": "postgres", "table": "t"}, url=wrong), None)

    assert (failed.value.kind, failed.value.retryable) == ("auth", False)
    assert "not-the-password" not in str(failed.value)


@pytest.mark.slow
async def test_a_table_that_is_not_there_is_named(run: Run, tmp_path: Path, database: str) -> None:
    for kind, sentence in {
        "postgres": 'relation "gone" does not exist',
        "duckdb": "there is no file '.*/gone.db'",
        "sqlite": "there is no file '.*/gone.db'",
        "parquet": "there is no file '.*/gone.parquet'",
    }.items():
        with pytest.raises(ToolError, match=sentence):
            await move(run, place(kind, "gone", tmp_path, database), None)


@pytest.mark.slow
async def test_a_value_that_does_not_fit_is_told_with_its_column_and_rows(
    run: Run, tmp_path: Path, database: str
) -> None:
    there = place("postgres", "there", tmp_path, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE there (id smallint, name text)")
        rows = pa.table({"id": [1] * 150 + [70_000], "name": ["x"] * 151})
        with pytest.raises(
            ToolError, match=r"column 'id', rows 100 to 150: a value is no int16 .*70000"
        ) as failed:
            await move(run, None, there, rows, chunk_size=100)

        assert failed.value.kind == "validation"
        assert connection.execute("SELECT count(*) FROM there").fetchone() == (0,)


@pytest.mark.parametrize(
    ("declared", "value", "kind"),
    [
        ("DECIMAL(38,0)[]", [Decimal("1.5205")], pa.list_(pa.decimal128(38, 4))),
        ("DECIMAL(9,2)", Decimal("1.5205"), pa.decimal128(20, 4)),
        ("INTEGER", Decimal("1.5205"), pa.decimal128(20, 4)),
        ("INTEGER[]", [1.5], pa.list_(pa.float64())),
        ("HUGEINT", Decimal("1.5205"), pa.decimal128(20, 4)),
        ("HUGEINT[]", [1.5], pa.list_(pa.float64())),
        ("DECIMAL(9,2)", 1.5205, pa.float64()),
        ("TIMESTAMP_S", datetime(2024, 1, 1, 0, 0, 0, 5), pa.timestamp("us")),
        ("TIMESTAMP_S", datetime(2024, 1, 1, 0, 0, 0, 5, UTC), pa.timestamp("us", "UTC")),
        ("DATE", datetime(2024, 1, 1, 0, 0, 0, 5), pa.timestamp("us")),
        ("TIME", 1001, pa.time64("ns")),
    ],
)
async def test_duckdb_rounds_nothing(
    declared: str, value: object, kind: pa.DataType, run: Run, tmp_path: Path
) -> None:
    there = place("duckdb", "there", tmp_path, "")
    with duckdb.connect(there.end["database"]) as connection:
        connection.execute(f"CREATE TABLE there (a {declared})")

    with pytest.raises(ToolError, match="column 'a', rows 0 to 0: a value is no"):
        await move(run, None, there, pa.table({"a": pa.array([value], kind)}))


@pytest.mark.parametrize(
    ("declared", "value", "kind", "held"),
    [
        ("INTEGER", Decimal("2.0000"), pa.decimal128(20, 4), 2),
        ("HUGEINT", Decimal(10) ** 37, pa.decimal128(38, 0), 10**37),
        ("HUGEINT[]", [Decimal(10) ** 37], pa.list_(pa.decimal128(38, 0)), [10**37]),
        ("DECIMAL(9,2)", 19.99, pa.float64(), Decimal("19.99")),
        ("DATE", datetime(2024, 1, 1), pa.timestamp("us"), date(2024, 1, 1)),
        ("TIME", 1000, pa.time64("ns"), time(0, 0, 0, 1)),
    ],
)
async def test_a_duckdb_column_of_another_type_takes_what_it_holds(
    declared: str, value: object, kind: pa.DataType, held: object, run: Run, tmp_path: Path
) -> None:
    there = place("duckdb", "there", tmp_path, "")
    with duckdb.connect(there.end["database"]) as connection:
        connection.execute(f"CREATE TABLE there (a {declared})")

    await move(run, None, there, pa.table({"a": pa.array([value], kind)}))

    assert (await move(run, there, None))["frame"].to_pylist() == [{"a": held}]


async def test_sqlite_is_given_no_integer_that_it_does_not_hold(run: Run, tmp_path: Path) -> None:
    there = place("sqlite", "there", tmp_path, "")

    with pytest.raises(ToolError, match="column 'a', rows 0 to 1: a value is no int64"):
        await move(run, None, there, pa.table({"a": pa.array([1, 2**63], pa.uint64())}))
    await move(run, None, there, pa.table({"a": pa.array([1], pa.uint64())}))

    assert (await move(run, there, None))["frame"].to_pylist() == [{"a": 1}]


@pytest.mark.slow
async def test_postgres_cuts_no_moment_to_its_day(run: Run, tmp_path: Path, database: str) -> None:
    there = place("postgres", "there", tmp_path, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE there (a date)")

    with pytest.raises(ToolError, match=r"column 'a', rows 0 to 0: a value is no date32"):
        await move(run, None, there, pa.table({"a": [datetime(2024, 1, 1, 12)]}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "duckdb", "sqlite"])
async def test_a_column_that_the_target_lacks_is_named(
    kind: str, run: Run, tmp_path: Path, database: str
) -> None:
    there = place(kind, "there", tmp_path, database)
    await move(run, None, there, ROWS)

    with pytest.raises(ToolError, match=rf"{kind} table there has no column 'more'; it has id, name"):
        await move(run, None, there, ROWS.append_column("more", [[1, 2]]))
    with pytest.raises(ToolError, match="the source has no column 'number'"):
        await move(run, None, there, ROWS, mapping={"id": "number"})
    with pytest.raises(ToolError, match="`keys` names 'key'"):
        await move(run, None, there, ROWS, mode="upsert", keys=["key"])


@pytest.mark.slow
async def test_an_upsert_without_a_unique_index_says_what_it_needs(
    run: Run, tmp_path: Path, database: str
) -> None:
    there = place("postgres", "there", tmp_path, database)
    await move(run, None, there, ROWS)

    with pytest.raises(ToolError, match="`mode: upsert` needs a unique index on exactly its `keys`"):
        await move(run, None, there, ROWS, mode="upsert", keys=["id"])


@pytest.mark.slow
async def test_a_transfer_whose_time_is_over_is_stopped_at_the_server(
    tool: Transfer, run: Run, tmp_path: Path, database: str
) -> None:
    endless = Place(end={"kind": "postgres", "query": "SELECT pg_sleep(600), 1 AS id"}, url=database)

    with pytest.raises(ToolError, match=r"ran longer than 0\.5 s"):
        await move(run, endless, None, timeout=0.5)

    with psycopg.connect(database) as connection:
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
        await until(lambda: connection.execute(running).fetchone() == (0,))
    assert (await move(run, None, None, ROWS))["rows"] == 2


@pytest.mark.slow
async def test_a_cancelled_transfer_leaves_nothing(tool: Transfer, tmp_path: Path, database: str) -> None:
    target = {"kind": "postgres", "table": "there"}
    query = "SELECT n, pg_sleep(0.01) IS NULL AS late FROM generate_series(1, 1000000) n"
    config = {"source": {"kind": "postgres", "query": query}, "target": target}
    running = asyncio.ensure_future(tool.run(call(tool, config, **secrets(source=database, target=database))))
    with psycopg.connect(database, autocommit=True) as connection:
        begun = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'COPY%generate_series%'"
        await until(lambda: connection.execute(begun).fetchone() == (True,))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert connection.execute("SELECT to_regclass('there')").fetchone() == (None,)


async def test_a_duckdb_that_a_task_has_open_takes_rows_and_yields_them(run: Run, tmp_path: Path) -> None:
    there = place("duckdb", "there", tmp_path, "")
    beside = Duckdb(unreachable)
    config = {"database": there.end["database"], "query": ENDLESS}
    running = asyncio.ensure_future(beside.run(call(beside, config, timeout=None)))
    await until(lambda: running.done() or opened(there.end["database"]) > 0)

    await move(run, None, there, ROWS)
    query = "SELECT count(*) AS n, current_setting('autoinstall_known_extensions') AS installs FROM there"
    asked = Place(end={"kind": "duckdb", "database": there.end["database"], "query": query}, url=None)
    found = (await move(run, asked, None))["frame"]
    running.cancel()
    await asyncio.wait([running])
    await beside.close()

    assert found.to_pylist() == [{"n": 2, "installs": False}]


def reads(database: str) -> bool:
    """Whether one who comes now may read: nobody holds its lock, or waits for the readers to go."""
    with closing(sqlite3.connect(database, timeout=0)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM there").fetchone())
        except sqlite3.OperationalError:
            return False


async def test_rows_are_committed_to_sqlite_once_its_readers_have_gone(run: Run, tmp_path: Path) -> None:
    there = place("sqlite", "there", tmp_path, "")
    await move(run, None, there, ROWS)
    with closing(sqlite3.connect(there.end["database"], isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM there").fetchall()
        running = asyncio.ensure_future(move(run, None, there, ROWS))
        await until(lambda: running.done() or not reads(there.end["database"]))
        reader.execute("COMMIT")

        assert (await running)["rows"] == 2
        assert reader.execute("SELECT count(*) FROM there").fetchone() == (4,)


async def test_a_sqlite_source_waits_for_another_who_writes(run: Run, tmp_path: Path) -> None:
    here = place("sqlite", "there", tmp_path, "")
    await move(run, None, here, ROWS)
    with closing(sqlite3.connect(here.end["database"], isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        running = asyncio.ensure_future(move(run, here, None))
        await until(lambda: running.done() or opened(here.end["database"]) == 2)
        writer.execute("COMMIT")

        assert (await running)["rows"] == 2


def opened(path: str) -> int:
    """How many times this process has it open."""
    return sum(each.resolve() == Path(path) for each in Path("/proc/self/fd").iterdir())


def test_what_a_disk_will_not_remove_is_told_and_what_is_gone_is_no_error(tmp_path: Path) -> None:
    disk = Disk("parquet orders/")

    disk.remove(str(tmp_path / "gone"))
    with pytest.raises(
        ToolError, match=r"^parquet orders/: '.*': .*; check the path and its rights$"
    ) as kept:
        disk.remove(str(tmp_path))

    assert kept.value.kind == "client_error"
    assert tmp_path.is_dir()
