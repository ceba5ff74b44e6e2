"""The kinds on ADBC drivers: the rules of every SQL kind through a real driver and server, and what their credentials become."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.adbc.binding import bound_statements
from noetl_stream.tools.adbc.drivers import to_flightsql, to_snowflake
from noetl_stream.tools.adbc.tool import Adbc
from noetl_stream.tools.sql_text import marked
from tests.children import free_port
from tests.contract.sql import ServerContract, rows
from tests.tools.conftest import Run, call, runner, unreachable, until

SELECT = {"driver": "postgresql", "query": "SELECT 1 AS one"}


def given(secret: str | Mapping[str, Value], provider: str | None = None) -> dict[str, Any]:
    return {"credentials": {"db": Secret("db", secret, provider=provider)}}


@pytest.fixture
async def tool() -> AsyncIterator[Adbc]:
    tool = Adbc(unreachable)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Adbc, database: str) -> Run:
    """Runs on PostgreSQL through its ADBC driver. Each test has a database of its own."""
    inner = runner(tool)

    async def run(config: Mapping[str, Any], /, **fields: Any) -> Any:
        config = {key: each for key, each in config.items() if key != "database"}
        return await inner({"driver": "postgresql", **config}, **{**given(database), **fields})

    return run


@pytest.mark.slow
class TestOnPostgres(ServerContract):
    endless = "SELECT count(*) FROM generate_series(1, 100000000000)"
    twice = ".*duplicate key value"
    twice_code = "23505"

    async def test_types_are_those_of_the_driver_and_what_only_it_knows_is_text(self, run: Run) -> None:
        text = "SELECT 7::int8 AS n, 1.50::numeric AS exact, '{1,2}'::int[] AS some, NULL::text AS nothing, '{}'::jsonb AS j"

        table = (await run({"query": text}))["rows"]

        assert table.to_pylist() == [{"n": 7, "exact": "1.50", "some": [1, 2], "nothing": None, "j": "{}"}]
        assert not any(isinstance(each.type, pa.BaseExtensionType) for each in table.schema)

    async def test_values_are_bound_by_name_as_often_as_they_stand_there(self, run: Run) -> None:
        query = "SELECT $a::text AS a, $b::int8 + $b AS twice, $c::text AS c, $d::text AS d, ':x $y' AS text"
        params = {"a": None, "b": 2, "c": {"k": [1]}, "d": "?"}

        assert rows(await run({"query": query, "params": params})) == [
            {"a": None, "twice": 4, "c": '{"k":[1]}', "d": "?", "text": ":x $y"}
        ]

    async def test_a_statement_may_end_in_a_comment(self, run: Run) -> None:
        """The driver writes on behind a query."""
        assert rows(await run({"query": "SELECT 1 AS n -- one; all"})) == [{"n": 1}]

    async def test_a_parameter_that_no_column_holds_is_told(self, run: Run) -> None:
        with pytest.raises(ToolError, match=r"^command_0: a parameter cannot be bound"):
            await run({"query": "SELECT ?", "params": [2**70]})

    async def test_inputs_that_are_tables_are_tables_by_their_names(self, run: Run) -> None:
        incoming = pa.table({"id": [1, 2], "price": pa.array([Decimal("1.5"), None], pa.decimal128(9, 2))})

        result = await run(
            {"query": "SELECT count(*) AS n, sum(price)::text AS total FROM incoming"},
            input={"incoming": incoming, "unnamed": [{"a": 1}], "number": 3},
        )

        assert rows(result) == [{"n": 2, "total": "1.5"}]

    async def test_a_transaction_is_the_tasks_key_and_no_statement(self, run: Run) -> None:
        with pytest.raises(ToolError, match="command_1: COMMIT has no place here") as refused:
            await run({"query": "SELECT 1; COMMIT"})

        assert refused.value.kind == "validation"

    async def test_a_result_has_a_bound(self, database: str) -> None:
        run = runner(Adbc(unreachable, most_bytes=1000))

        with pytest.raises(ToolError, match="command_0: the result is larger than 1,000 bytes") as refused:
            await run({"driver": "postgresql", "query": "SELECT generate_series(1, 1000)"}, **given(database))

        assert refused.value.code == "too_large"

    async def test_a_cancelled_task_stops_its_statement_at_the_server(self, run: Run, database: str) -> None:
        running = asyncio.ensure_future(run({"query": "SELECT pg_sleep(600)"}))
        with psycopg.connect(database, autocommit=True) as other:
            ours = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep%%' AND pid <> pg_backend_pid() AND state = %s"

            def active() -> bool:
                return other.execute(ours, ("active",)).fetchone() == (1,)

            await until(lambda: active() or running.done())
            assert not running.done()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: not active())

    async def test_a_wrong_password_is_refused_without_being_told(self, run: Run, database: str) -> None:
        before, _, after = database.partition("://")
        wrong = f"{before}://tests:hunter2secret@{after.rpartition('@')[2]}"

        with pytest.raises(ToolError, match=r"^no connection: .*authentication failed") as refused:
            await run(SELECT, **given(wrong))

        assert (refused.value.kind, refused.value.retryable) == ("auth", False)
        assert "hunter2secret" not in f"{refused.value} {refused.value.__cause__!r}"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_server_that_is_not_there_may_be_later(tool: Adbc, host: str) -> None:
    secret = {"host": host, "port": free_port(), "user": "u", "password": "hunter2"}

    with pytest.raises(ToolError, match=r"^no connection") as failed:
        await runner(tool)(SELECT, **given(secret))

    assert (failed.value.kind, failed.value.retryable) == ("connection", True)
    assert "hunter2" not in str(failed.value)


async def test_a_task_without_a_credential_is_told_to_name_one(tool: Adbc) -> None:
    with pytest.raises(ToolError, match="the adbc task names no credential; give it `auth: <alias>`"):
        await runner(tool)(SELECT)


@pytest.mark.parametrize(("allowed", "code"), [(False, "refused_address"), (True, "unreachable")])
async def test_an_address_of_the_documents_author_is_followed_only_where_private_ones_are(
    allowed: bool, code: str
) -> None:
    tool = Adbc(unreachable, allow_private=allowed)
    secret = f"postgresql://u:p@127.0.0.1:{free_port()}/d"

    with pytest.raises(ToolError) as refused:
        await runner(tool)(SELECT, **given(secret, DOCUMENT))

    assert refused.value.code == code
    await tool.close()


@pytest.mark.parametrize(
    ("driver", "secret"),
    [("flightsql", "grpc://127.0.0.1:1"), ("snowflake", {"account": "a", "user": "u", "password": "p"})],
)
async def test_a_driver_that_is_missing_names_its_extra(
    tool: Adbc, driver: str, secret: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (f"adbc_driver_{driver}", f"adbc_driver_{driver}.dbapi"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed

    with pytest.raises(ToolError, match=r"pip install 'noetl-stream\[" + driver) as missing:
        await runner(tool)({"driver": driver, "query": "SELECT 1"}, **given(secret))

    assert missing.value.kind == "not_installed"


def snowflake(**fields: str) -> dict[str, str]:
    """The options of an account, without those that are always the same."""
    route = to_snowflake(Secret("sf", {"account": "acme", "user": "ada", **fields}), 5)
    return {key.removeprefix("adbc.snowflake.sql."): each for key, each in route.options.items()}


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"password": "p"}, {"auth_type": "auth_snowflake", "password": "p"}),
        ({"token": "t"}, {"auth_type": "auth_oauth", "client_option.auth_token": "t"}),
        (
            {"private_key": "k", "private_key_passphrase": "w", "password": "p"},
            {
                "auth_type": "auth_jwt",
                "client_option.jwt_private_key_pkcs8_value": "k",
                "client_option.jwt_private_key_pkcs8_password": "w",
            },
        ),
    ],
)
def test_whoever_enters_snowflake_shows_a_key_a_token_or_a_password(
    fields: dict[str, str], options: dict[str, str]
) -> None:
    found = snowflake(**fields, warehouse="small", role="reader", database="shop")

    session = {"account": "acme", "username": "ada", "warehouse": "small", "role": "reader", "db": "shop"}
    assert options | session == {key: found[key] for key in options | session}
    assert ("password" in found) is ("password" in options)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"user": "ada", "password": "p"}, "has no `account` or no `user`"),
        ({"account": "acme", "user": "ada"}, "has no `password`, `token` or `private_key`"),
    ],
)
def test_a_credential_of_snowflake_that_says_too_little_is_told(
    fields: dict[str, Value], sentence: str
) -> None:
    with pytest.raises(ToolError, match=f"^credential 'sf' {sentence}") as refused:
        to_snowflake(Secret("sf", fields), 5)

    assert refused.value.kind == "credential"


def test_a_flight_server_is_told_who_asks() -> None:
    route = to_flightsql(Secret("f", {"url": "grpc+tls://h:1", "token": "t"}), 5)

    assert route.uri == "grpc+tls://h:1"
    assert route.options["adbc.flight.sql.authorization_header"] == "Bearer t"
    with pytest.raises(ToolError, match="credential 'f' has no `url`"):
        to_flightsql(Secret("f", {"host": "h"}), 5)


def test_names_become_question_marks_where_a_driver_has_no_numbers() -> None:
    found = bound_statements("SELECT $b, $a, $b, '$a', @stage, $1; SELECT 2", {"a": 1, "b": 2}, "?")

    assert found == [("SELECT ?, ?, ?, '$a', @stage, $1", [2, 1, 2]), (" SELECT 2", [])]
    assert marked("SELECT $$ $a $$ -- $a").places == ()


def test_without_params_a_name_is_the_dialects_own() -> None:
    assert bound_statements("SELECT $session_variable", [], "?") == [("SELECT $session_variable", [])]


def test_a_call_shows_no_secret(tool: Adbc) -> None:
    shown: Call = call(tool, SELECT, **given("postgresql://u:hunter2@h/d"))

    assert "hunter2" not in repr(shown)
