"""The adbc tool on a server of Arrow Flight SQL, through the real driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import trustme

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.adbc.tool import Adbc
from tests.children import free_port
from tests.contract.sql import ServerContract, rows
from tests.tools.conftest import Run, runner, unreachable, until
from tests.tools.flight_server import PASSWORD, USER, FlightServer, serving

pytestmark = pytest.mark.slow

SELECT = {"driver": "flightsql", "query": "SELECT 1 AS n"}
ENDLESS = "SELECT range AS n FROM range(1000000000000)"


@pytest.fixture
def server() -> Iterator[FlightServer]:
    with serving() as server:
        yield server


@pytest.fixture
async def tool() -> AsyncIterator[Adbc]:
    tool = Adbc(unreachable, threads=1)
    yield tool
    await tool.close()


def given(port: int, *, provider: str | None = None, **fields: str) -> dict[str, Any]:
    login = {"user": USER, "password": PASSWORD, **fields}
    return {
        "credentials": {"f": Secret("f", {"url": f"grpc://127.0.0.1:{port}", **login}, provider=provider)}
    }


@pytest.fixture
def run(tool: Adbc, server: FlightServer) -> Run:
    """Runs on the server. Each test has one of its own."""
    inner = runner(tool)

    async def run(config: Mapping[str, Any], /, **fields: Any) -> Any:
        config = {key: each for key, each in config.items() if key != "database"}
        return await inner({"driver": "flightsql", **config}, **{**given(server.port), **fields})

    return run


class TestOnFlight(ServerContract):
    endless = ENDLESS
    twice = ".*[Dd]uplicate key"
    twice_code = "unknown"


async def test_a_statement_without_rows_is_announced_as_one(run: Run, server: FlightServer) -> None:
    """Servers may run a query when its rows are read, and a change of rows never is."""
    await run({"query": "CREATE TABLE t (n INT); /* of */ insert INTO t VALUES (1); SELECT n FROM t"})

    commands = [each for each in server.methods if each.startswith("CommandPrepared")]
    assert commands == [*["CommandPreparedStatementUpdate"] * 2, "CommandPreparedStatementQuery"]


async def test_a_transaction_is_refused_where_the_server_has_none(tool: Adbc) -> None:
    create = {"driver": "flightsql", "query": "CREATE TABLE t (n INT)"}

    with serving(transactions=False) as server:
        with pytest.raises(ToolError, match=r"the server lacks what the task asks of it$") as refused:
            await runner(tool)({**create, "transaction": True}, **given(server.port))
        assert (refused.value.kind, refused.value.code, refused.value.retryable) == ("sql", "lacking", False)

        assert (await runner(tool)(create, **given(server.port)))["row_count"] == 0


async def test_a_cancelled_task_stops_its_statement_at_the_server(run: Run, server: FlightServer) -> None:
    running = asyncio.ensure_future(run({"query": ENDLESS}))
    await until(lambda: server.running == 1)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: server.running == 0)


async def test_a_token_lets_in_as_a_password_does(tool: Adbc, server: FlightServer) -> None:
    secret = Secret("f", {"url": f"grpc://127.0.0.1:{server.port}", "token": "let-me-in"})

    assert rows(await runner(tool)(SELECT, credentials={"f": secret})) == [{"n": 1}]


@pytest.mark.parametrize("fields", [{"password": "hunter2secret"}, {"token": "hunter2secret"}])
async def test_who_is_refused_is_told_so_without_the_secret(
    run: Run, tool: Adbc, server: FlightServer, fields: dict[str, str]
) -> None:
    with pytest.raises(
        ToolError, match=r"^no connection: .*no such user or password|^command_0: .*no such user"
    ) as refused:
        await run(SELECT, **given(server.port, **fields))

    assert (refused.value.kind, refused.value.retryable) == ("auth", False)
    assert "hunter2secret" not in f"{refused.value} {refused.value.__cause__!r}"
    assert rows(await run(SELECT)) == [{"n": 1}]


async def test_nobody_at_the_address_may_be_there_later(run: Run) -> None:
    with pytest.raises(ToolError, match=r"^no connection: .*connection refused") as failed:
        await run(SELECT, **given(free_port()))

    assert (failed.value.kind, failed.value.retryable) == ("connection", True)
    assert rows(await run(SELECT)) == [{"n": 1}]


async def test_an_input_that_the_server_takes_no_table_of_is_told(run: Run) -> None:
    with pytest.raises(ToolError, match=r"^input 'incoming': ") as refused:
        await run({"query": "SELECT * FROM incoming"}, input={"incoming": [{"n": 1}]})

    assert (refused.value.kind, refused.value.retryable) == ("sql", False)
    assert rows(await run(SELECT)) == [{"n": 1}]


async def test_an_address_of_the_documents_author_is_asked_only_where_the_deployment_lets_it(
    server: FlightServer,
) -> None:
    its = given(server.port, provider=DOCUMENT)

    for allowed, hosts, code in ((False, None, "refused_address"), (True, ("example.com",), "refused_host")):
        with pytest.raises(ToolError) as refused:
            await runner(Adbc(unreachable, allow_private=allowed))(SELECT, **its, hosts=hosts)
        assert (refused.value.code, server.methods) == (code, [])

    run = runner(Adbc(unreachable, allow_private=True))
    assert rows(await run(SELECT, **its, hosts=("127.0.0.1",))) == [{"n": 1}]


@pytest.mark.parametrize("provider", [None, DOCUMENT])
async def test_a_certificate_answers_for_the_name_also_where_the_address_was_looked_up(
    provider: str | None,
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    tls = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
    run = runner(Adbc(unreachable, allow_private=True))

    with serving(tls=tls) as server:
        login = {"url": f"grpc+tls://localhost:{server.port}", "user": USER, "password": PASSWORD}
        known = {**login, "tls_root_certs": authority.cert_pem.bytes().decode()}

        assert rows(await run(SELECT, credentials={"f": Secret("f", known, provider=provider)})) == [{"n": 1}]
        with pytest.raises(ToolError, match=r"^no connection: .*certificate") as refused:
            await run(SELECT, credentials={"f": Secret("f", login, provider=provider)})
    assert (refused.value.kind, refused.value.code) == ("connection", "unreachable")
