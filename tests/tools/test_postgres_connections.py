"""How the postgres tool comes to its connections: what its credential says and nothing else, and what is told if none can be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.postgres.address import address_of, within
from noetl_stream.tools.postgres.tool import Postgres
from tests.children import free_port
from tests.contract.sql import rows
from tests.postgres_server import Server
from tests.tools.conftest import Run, runner, unreachable, until

ONE = {"query": "SELECT 1 AS n"}


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    tool = Postgres(unreachable)
    yield runner(tool)
    await tool.close()


def given(secret: Any) -> dict[str, Any]:
    return {"credentials": {"pg": Secret("pg", secret)}}


def fields(server: Server) -> dict[str, Any]:
    said = conninfo_to_dict(server.dsn)
    return {
        "db_name": said["dbname"],
        "db_host": said["host"],
        "db_port": said["port"],
        "username": said["user"],
        "db_password": said["password"],
    }


def shown(error: BaseException) -> str:
    """All that a log would show of an error, but for the lines of code."""
    return "".join(
        f"{each!r} {each}"
        for each in (error, error.__cause__, error.__suppress_context__ or error.__context__)
    )


async def test_a_task_without_a_credential_is_told_to_name_one(run: Run) -> None:
    with pytest.raises(
        ToolError, match="the postgres task names no credential; give it `auth: <alias>`"
    ) as refused:
        await run(ONE)

    assert (refused.value.kind, refused.value.retryable) == ("credential", False)


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ({"user": "u"}, "credential 'pg' has no host; give it `host`, `user` and `password`"),
        ({"password": "hunter2"}, "credential 'pg' has no host and no user; give it"),
        ("hunter2", "credential 'pg' is no connection string; write `postgresql://"),
        ("postgresql://u:hunter2@[h/d", "credential 'pg' is no connection string"),
        ({"dsn": "host=h user=u password='hunter2"}, "credential 'pg' is no connection string"),
    ],
)
def test_a_credential_that_says_too_little_is_told_without_its_secret(secret: Any, sentence: str) -> None:
    with pytest.raises(ToolError) as refused:
        address_of(Secret("pg", secret), None)

    assert refused.value.kind == "credential"
    assert sentence in str(refused.value)
    assert "hunter2" not in shown(refused.value)


@pytest.mark.slow
async def test_nothing_is_read_from_the_environment(
    run: Run, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "USER",
        "PASSWORD",
        "DATABASE",
        "PORT",
        "OPTIONS",
        "PASSFILE",
        "HOSTADDR",
        "APPNAME",
        "REQUIREAUTH",
    ):
        monkeypatch.setenv(f"PG{name}", "nonsense")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    query = {"query": "SELECT current_user::text AS who, current_database()::text AS db"}

    assert rows(await run(query, **given(fields(postgres)))) == [{"who": "tests", "db": "postgres"}]


@pytest.mark.slow
async def test_another_database_of_the_server_may_be_named_and_is_no_connection_string(
    run: Run, postgres: Server, database: str
) -> None:
    name = conninfo_to_dict(database)["dbname"]
    query = "SELECT current_database()::text AS db"

    found = await run(
        {"query": query, "database": name}, **given(postgres.dsn.replace("postgresql", "postgresql+psycopg"))
    )
    assert rows(found) == [{"db": name}]
    with pytest.raises(ToolError, match='database "host=evil" does not exist') as refused:
        await run({**ONE, "database": "host=evil"}, **given(postgres.dsn))
    assert (refused.value.kind, refused.value.retryable) == ("connection", False)


@pytest.mark.slow
async def test_a_wrong_password_is_told_and_not_tried_again(run: Run, postgres: Server) -> None:
    with pytest.raises(ToolError, match='password authentication failed for user "tests"') as refused:
        await run(ONE, **given({**fields(postgres), "db_password": "hunter2"}))

    assert (refused.value.kind, refused.value.code, refused.value.retryable) == ("auth", "refused", False)
    assert "hunter2" not in shown(refused.value)
    assert rows(await run(ONE, **given(fields(postgres)))) == [{"n": 1}]


@pytest.mark.slow
async def test_a_credential_without_a_password_is_not_tried_again(run: Run, postgres: Server) -> None:
    with pytest.raises(ToolError, match="no password supplied") as refused:
        await run(ONE, **given({**fields(postgres), "db_password": None}))

    assert (refused.value.kind, refused.value.code, refused.value.retryable) == ("auth", "refused", False)


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
async def test_a_server_that_is_not_there_may_be_tried_again(run: Run, host: str) -> None:
    with pytest.raises(ToolError, match=r"^no connection: ") as refused:
        await run(ONE, **given({"host": host, "port": free_port(), "user": "u", "password": "hunter2"}))

    assert (refused.value.kind, refused.value.code, refused.value.retryable) == (
        "connection",
        "unreachable",
        True,
    )
    assert "hunter2" not in str(refused.value)


@pytest.mark.slow
async def test_a_server_killed_in_the_middle_of_a_query_may_be_tried_again_and_is_found_anew(
    run: Run, postgres: Server
) -> None:
    running = asyncio.ensure_future(run({"query": "SELECT 1; SELECT pg_sleep(600)"}, **given(postgres.dsn)))
    with psycopg.connect(postgres.dsn, autocommit=True) as watching:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query = ' SELECT pg_sleep(600)'"
        await until(lambda: running.done() or watching.execute(query).fetchone() == (1,))
    await run(ONE, **given(postgres.dsn))

    postgres.kill()
    with pytest.raises(ToolError, match=r"^command_1: ") as lost:
        await running
    postgres.start()

    assert (lost.value.kind, lost.value.retryable) == ("connection", True)
    assert rows(await run(ONE, **given(postgres.dsn))) == [{"n": 1}]


@pytest.mark.slow
async def test_a_connection_serves_many_tasks_one_after_another(run: Run, postgres: Server) -> None:
    query = {"query": "SELECT pg_backend_pid() AS pid"}

    seen = [rows(await run(query, **given(postgres.dsn))) for _ in range(20)]

    assert seen == [seen[0]] * 20


@pytest.mark.slow
async def test_a_pool_lets_so_many_in_and_tells_those_that_wait_too_long(run: Run, postgres: Server) -> None:
    bounds = {"max_size": 1, "timeout": 0.05}
    sleeping = {"query": "SELECT pg_sleep(600)", "pool": bounds}
    first = asyncio.ensure_future(run(sleeping, **given(postgres.dsn)))
    await asyncio.sleep(0)

    with pytest.raises(
        ToolError, match=r"none was free within 0.05 s \(`pool.timeout`\); raise the bound"
    ) as full:
        await run({**ONE, "pool": bounds}, **given(postgres.dsn))
    first.cancel()
    await asyncio.wait([first])

    assert (full.value.kind, full.value.code, full.value.retryable) == ("connection", "pool_exhausted", True)
    assert rows(await run({**ONE, "pool": bounds}, **given(postgres.dsn))) == [{"n": 1}]


@pytest.mark.slow
async def test_no_more_wait_for_a_connection_than_may(run: Run, postgres: Server) -> None:
    config = {"query": "SELECT pg_sleep(600)", "pool": {"max_size": 1, "max_waiting": 1}}
    held = [asyncio.ensure_future(run(config, **given(postgres.dsn))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(ToolError, match=r"1 tasks wait for one already \(`pool.max_waiting`\)"):
        await run(config, **given(postgres.dsn))

    for each in held:
        each.cancel()
    await asyncio.wait(held)


@pytest.mark.parametrize(
    ("said", "seconds", "patience"),
    [
        (None, None, "10"),
        (None, 3.5, "4"),
        (None, 0.5, "2"),
        ("1", 30.0, "1"),
        ("0", 30.0, "30"),
        (None, 60.0, "10"),
    ],
)
def test_a_connection_is_waited_for_no_longer_than_its_task(
    said: str | None, seconds: float | None, patience: str
) -> None:
    fields = {"host": "db", "user": "ann", **({} if said is None else {"connect_timeout": said})}

    found = within(address_of(Secret("pg", fields), None), seconds)

    assert conninfo_to_dict(found)["connect_timeout"] == patience
