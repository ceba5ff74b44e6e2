"""The postgres tool on a real server: the shapes and rules of every SQL kind, its types, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.inbox import CREATE
from noetl_stream.tools.postgres.tool import Postgres
from tests.contract.once import OnceContract
from tests.contract.sql import ServerContract, rows
from tests.postgres_server import Server
from tests.tools.conftest import Run, runner, unreachable, until

pytestmark = pytest.mark.slow


def given(dsn: str | Mapping[str, Any]) -> dict[str, Secret]:
    return {"pg": Secret("pg", dsn)}


@pytest.fixture
async def tool() -> AsyncIterator[Postgres]:
    tool = Postgres(unreachable)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Postgres, database: str) -> Run:
    """Runs with the database's credential. The suite's files are none here: each test has a database of its own."""
    inner = runner(tool)

    async def run(config: Mapping[str, Any], /, **fields: Any) -> Any:
        config = {key: each for key, each in config.items() if key != "database"}
        return await inner(config, **{"credentials": given(database), **fields})

    return run


@pytest.fixture
def once(run: Run) -> Run:
    async def once(config: Mapping[str, Any], /, **fields: Any) -> Any:
        return await run(config, **{"once": True, "effect_key": "k1", **fields})

    return once


class TestPostgresOnce(OnceContract):
    """`effects: exactly_once`."""

    async def test_the_first_one_may_be_met_by_another_who_makes_the_inbox(
        self, once: Run, database: str
    ) -> None:
        with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as watching:
            other.execute(CREATE)
            running = asyncio.create_task(once({"query": "SELECT 1 AS n"}))
            await until(lambda: running.done() or _waits_for_a_lock(watching))
            other.commit()

            assert rows(await running) == [{"n": 1}]


class TestPostgres(ServerContract):
    """The shapes and rules of every SQL kind."""

    endless = "SELECT pg_sleep(600)"
    twice = 'duplicate key value violates unique constraint "t_n_key"; Key .n.=.1. already exists'
    twice_code = "23505"


TYPES: list[tuple[str, pa.DataType, Any]] = [
    ("true", pa.bool_(), True),
    ("7::int2", pa.int16(), 7),
    ("7::int4", pa.int32(), 7),
    ("9223372036854775807::int8", pa.int64(), 9223372036854775807),
    ("1.1::float4", pa.float32(), pytest.approx(1.1)),
    ("0.1::float8", pa.float64(), 0.1),
    ("'-Infinity'::float8", pa.float64(), float("-inf")),
    ("1.50::numeric(9,2)", pa.decimal128(9, 2), Decimal("1.50")),
    ("1234567890123456789012345678.0123456789::numeric", pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789")),
    ("12345678901234567890123456789012345678901234567890.5::numeric", pa.decimal256(51, 1), Decimal("12345678901234567890123456789012345678901234567890.5")),
    ("12345::numeric(4,-2)", pa.decimal128(6, 0), Decimal(12300)),
    ("'NaN'::numeric", pa.string(), "NaN"),
    ("'é\"x, y'::text", pa.string(), 'é"x, y'),
    ("''::text", pa.string(), ""),
    (r"'\x00ff'::bytea", pa.binary(), b"\x00\xff"),
    ("'2024-02-29'::date", pa.date32(), date(2024, 2, 29)),
    ("'infinity'::date", pa.string(), "infinity"),
    ("'04:05:06.000007'::time", pa.time64("us"), time(4, 5, 6, 7)),
    ("'2024-01-02 03:04:05.000006'::timestamp", pa.timestamp("us"), datetime(2024, 1, 2, 3, 4, 5, 6)),
    ("'2024-01-02 03:04:05+05:30'::timestamptz", pa.timestamp("us", "UTC"), datetime(2024, 1, 1, 21, 34, 5, tzinfo=UTC)),
    ("'1 month 2 days 3.5 s'::interval", pa.string(), "P1M2DT3.5S"),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("""'{"a": [1]}'::jsonb""", pa.string(), '{"a": [1]}'),
    ("int4range(1, 5)", pa.string(), "[1,5)"),
    ("'10.0.0.1/8'::inet", pa.string(), "10.0.0.1/8"),
    ("ARRAY[1, NULL, 3]", pa.list_(pa.int32()), [1, None, 3]),
    ("ARRAY['a\"b', 'NULL', '', NULL, 'c,{d}']", pa.list_(pa.string()), ['a"b', "NULL", "", None, "c,{d}"]),
    ("ARRAY['2024-01-02'::date]", pa.list_(pa.date32()), [date(2024, 1, 2)]),
    ("ARRAY[1.5, 22.25]", pa.list_(pa.decimal128(38, 2)), [Decimal("1.50"), Decimal("22.25")]),
    ("'{}'::int[]", pa.list_(pa.int32()), []),
    ("ARRAY[[1, 2], [3, 4]]", pa.string(), "{{1,2},{3,4}}"),
    ("NULL::numeric", pa.decimal128(38, 0), None),
    ("NULL", pa.string(), None),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "kind", "value"), TYPES, ids=[each[0] for each in TYPES])
async def test_a_value_arrives_in_its_arrow_type_beside_a_null(
    tool: Postgres, postgres: Server, expression: str, kind: pa.DataType, value: Any
) -> None:
    query = f"SELECT (SELECT {expression} WHERE n = 1) AS v FROM generate_series(1, 2) n"

    table = (await runner(tool)({"query": query}, credentials=given(postgres.dsn)))["rows"]

    assert table.schema.field("v").type == kind
    first, second = table["v"].to_pylist()
    assert second is None
    assert first == value


async def test_a_large_result_keeps_its_order_and_its_columns(run: Run) -> None:
    query = "SELECT n, n::text AS t, CASE WHEN n % 3 = 0 THEN ARRAY[n, n + 1] END AS a FROM generate_series(1, 50001) n"

    table = (await run({"query": query}))["rows"]

    assert table["n"].to_pylist() == list(range(1, 50002))
    assert table["a"].to_pylist()[:3] == [None, None, [3, 4]]
    assert table["t"].to_pylist()[-1] == "50001"


async def test_a_result_larger_than_a_worker_holds_is_refused_and_the_slot_is_free(database: str) -> None:
    tool = Postgres(unreachable, most_bytes=1_000_000)
    run = runner(tool)
    query = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"

    with pytest.raises(ToolError, match=r"^command_0: the result is larger than 1,000,000 bytes") as refused:
        await run({"query": query}, credentials=given(database))

    assert (refused.value.kind, refused.value.code, refused.value.retryable) == ("sql", "too_large", False)
    assert rows(await run({"query": "SELECT 1 AS n"}, credentials=given(database))) == [{"n": 1}]
    await tool.close()


async def test_values_are_bound_in_their_own_types(run: Run) -> None:
    await run({"query": "CREATE TABLE t (d date, j jsonb, a int[], u uuid, n numeric, s text)"})
    params = {
        "d": "2024-01-02",
        "j": {"a": [1, {"b": "é'"}]},
        "a": [1, 2],
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "n": Decimal("0.10"),
        "s": "x'; DROP TABLE t; --",
    }

    await run({"query": "INSERT INTO t VALUES ($d, $j, $a, $u, $n, $s)", "params": params})

    query = "SELECT d, j->'a'->1->>'b' AS b, a, u, n, s FROM t WHERE d = $d AND n = ANY($many)"
    assert rows(await run({"query": query, "params": {"d": "2024-01-02", "many": [Decimal("0.1")]}})) == [
        {"d": date(2024, 1, 2), "b": "é'", "a": [1, 2], "u": params["u"], "n": Decimal("0.10"), "s": params["s"]}
    ]  # fmt: skip


async def test_text_that_looks_like_a_parameter_is_left_alone(run: Run) -> None:
    query = """
        -- $x; 50% ?
        SELECT '$x; ?' AS quoted, $$a; $x$$ AS dollars, $tag$b; $$ ?$tag$ AS tagged, '5'::int % 3 AS modulo,
               (ARRAY[1, 2, 3])[2:3] AS slice, '{"k": 1}'::jsonb ? 'k' AS operator, @ -7 AS absolute, $x AS x /* ; $y */
    """

    assert rows(await run({"query": query, "params": {"x": 1}})) == [
        {"quoted": "$x; ?", "dollars": "a; $x", "tagged": "b; $$ ?", "modulo": 2, "slice": [2, 3], "operator": True,
         "absolute": 7, "x": 1}
    ]  # fmt: skip


async def test_inputs_that_are_tables_are_tables_by_their_names(run: Run) -> None:
    table = pa.table(
        {
            "n": [1, 2, None],
            "amount": pa.array([Decimal("1.10"), None, Decimal("2.25")], pa.decimal128(9, 2)),
            "at": pa.array(
                [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")
            ),
            "text": ["", None, 'a"b,\nc'],
            "blob": [b"\x00", None, b""],
            "tags": [["a"], None, []],
        }
    )
    query = "CREATE TABLE kept AS SELECT * FROM orders; SELECT * FROM kept ORDER BY n NULLS LAST"

    result = await run({"query": query}, input={"orders": table, "unnamed": [{"n": 1}], "word": "kept"})

    kept = rows(result)
    assert [row.pop("tags") for row in kept] == ['["a"]', None, "[]"]
    assert kept == table.drop_columns("tags").to_pylist()


async def test_nothing_of_a_task_is_left_on_its_connection(run: Run) -> None:
    pid = {"query": "SELECT pg_backend_pid() AS pid"}
    first = rows(await run(pid))

    await run({"query": "SET search_path = nowhere; SELECT * FROM orders"}, input={"orders": [{"n": 1}]})

    assert rows(await run(pid)) == first
    assert rows(await run({"query": "SHOW search_path"})) == [{"search_path": '"$user", public'}]
    with pytest.raises(ToolError, match='relation "orders" does not exist'):
        await run({"query": "SELECT * FROM orders"})


async def test_a_cancelled_task_stops_its_statement_at_the_server(run: Run, database: str) -> None:
    running = asyncio.ensure_future(run({"query": "SELECT pg_sleep(600)"}))
    with psycopg.connect(database, autocommit=True) as watching:

        def sleeping() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
            return watching.execute(query).fetchone() == (1,)

        await until(lambda: running.done() or sleeping())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        await until(lambda: not sleeping())


async def test_a_session_tells_the_server_whose_it_is(run: Run) -> None:
    query = (
        "SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS timeout"
    )

    assert rows(await run({"query": query}, timeout=3.0)) == [{"name": "noetl-stream 7", "timeout": "8s"}]


async def test_a_transaction_left_open_is_told_and_rolled_back(run: Run) -> None:
    await run({"query": "CREATE TABLE t (n int)"})

    with pytest.raises(ToolError, match="leave a transaction open, which is rolled back; end it with COMMIT"):
        await run({"query": "BEGIN; INSERT INTO t VALUES (1)"})

    assert rows(await run({"query": "SELECT * FROM t"})) == []
    await run({"query": "BEGIN; INSERT INTO t VALUES (1); COMMIT"})
    assert rows(await run({"query": "SELECT * FROM t"})) == [{"n": 1}]


async def test_malformed_sql_is_told_with_its_place(run: Run) -> None:
    place = r'^command_1: syntax error at or near "x" \(line 2, column 8 of the statement\)$'

    with pytest.raises(ToolError, match=place) as failed:
        await run({"query": "SELECT 1;\n\nSELECT 1\n  FORM x y"})

    assert (failed.value.kind, failed.value.code, failed.value.retryable) == ("sql", "42601", False)


async def test_copy_without_another_end_is_told(run: Run) -> None:
    for query in ("COPY (SELECT 1) TO STDOUT", "CREATE TABLE t (n int); COPY t FROM STDIN"):
        with pytest.raises(ToolError, match="COPY from STDIN or to STDOUT has no other end here"):
            await run({"query": query})
    assert rows(await run({"query": "SELECT 1 AS n"})) == [{"n": 1}]


async def test_a_deadlocks_victim_may_be_tried_again(run: Run) -> None:
    await run({"query": "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2)"})
    turn = "SELECT n FROM t WHERE n = $a FOR UPDATE; SELECT pg_sleep(0.2); SELECT n FROM t WHERE n = $b FOR UPDATE"
    both = [
        run({"query": turn, "params": {"a": a, "b": b}, "transaction": True}) for a, b in ((1, 2), (2, 1))
    ]

    ended = await asyncio.gather(*both, return_exceptions=True)

    (failed,) = [each for each in ended if isinstance(each, ToolError)]
    assert (failed.kind, failed.code, failed.retryable) == ("sql", "40P01", True)


def _waits_for_a_lock(connection: psycopg.Connection) -> bool:
    return bool(
        connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall()
    )
