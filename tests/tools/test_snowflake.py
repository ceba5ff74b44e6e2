"""The snowflake tool through its real driver, which speaks to a stand-in for Snowflake's web interface: no account was met."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.adbc.drivers import to_snowflake
from noetl_stream.tools.adbc.reach import reached
from noetl_stream.tools.adbc.tool import Snowflake
from noetl_stream.tools.builtin import kinds
from tests.children import free_port
from tests.contract.sql import rows
from tests.tools.conftest import runner, unreachable, until
from tests.tools.snowflake_server import PASSWORD, Account, serving

pytestmark = pytest.mark.slow

LOGIN = "/session/v1/login-request"
QUERY = "/queries/v1/query-request"


@pytest.fixture
def account() -> Iterator[Account]:
    with serving() as account:
        yield account


@pytest.fixture
async def tool() -> AsyncIterator[Snowflake]:
    tool = Snowflake(unreachable, threads=1)
    yield tool
    await tool.close()


def given(port: int, *, provider: str | None = None, **fields: str) -> dict[str, Any]:
    """The credential of a call: an account at a port of this machine."""
    login = {"account": "acme", "user": "ada", "password": PASSWORD, **fields}
    place = {"host": "127.0.0.1", "port": port, "protocol": "http"}
    return {"credentials": {"sf": Secret("sf", {**login, **place}, provider=provider)}}


async def test_rows_come_as_arrow_with_exact_numbers(tool: Snowflake, account: Account) -> None:
    result = await runner(tool)({"query": "SELECT n, tea FROM teas"}, **given(account.port))

    assert rows(result) == [{"N": Decimal(7), "TEA": "Assam"}, {"N": Decimal(8), "TEA": None}]
    assert (result["columns"], result["row_count"]) == (["N", "TEA"], 2)


async def test_the_account_is_entered_as_the_credential_says(tool: Snowflake, account: Account) -> None:
    said = {"warehouse": "small", "role": "reader", "database": "shop", "schema": "public"}

    await runner(tool)({"query": "SELECT 1"}, **given(account.port, **said))

    (login,) = [each for each in account.seen if each[0] == LOGIN]
    asked = {key: login[2]["data"][key] for key in ("ACCOUNT_NAME", "LOGIN_NAME", "PASSWORD")}
    assert asked == {"ACCOUNT_NAME": "acme", "LOGIN_NAME": "ada", "PASSWORD": PASSWORD}
    names = {"warehouse": "small", "roleName": "reader", "databaseName": "shop", "schemaName": "public"}
    assert names.items() <= login[1].items()


async def test_values_are_bound_and_statements_sent_one_by_one(tool: Snowflake, account: Account) -> None:
    text = "SELECT $a, ':x $b', $a; SELECT $b"

    await runner(tool)({"query": text, "params": {"a": 5, "b": "x'; DROP"}}, **given(account.port))

    first, second = account.asked(QUERY)
    assert first["sqlText"] == "SELECT ?, ':x $b', ?"
    assert [each["value"] for each in first["bindings"].values()] == ["5", "5"]
    assert [each["value"] for each in second["bindings"].values()] == ["x'; DROP"]


async def test_a_statement_that_is_refused_has_its_state_and_no_secret(
    tool: Snowflake, account: Account
) -> None:
    with pytest.raises(
        ToolError, match=r"^command_1: .*invalid identifier 'GRAMMS'; said by \*\*\*"
    ) as failed:
        await runner(tool)({"query": "SELECT 1; SELECT gramms"}, **given(account.port))

    assert (failed.value.kind, failed.value.code, failed.value.retryable) == ("sql", "42000", False)
    assert PASSWORD not in str(failed.value)


async def test_a_wrong_password_is_refused_without_being_told(tool: Snowflake, account: Account) -> None:
    with pytest.raises(ToolError, match=r"^no connection: .*Incorrect username or password") as refused:
        await runner(tool)({"query": "SELECT 1"}, **given(account.port, password="hunter2secret"))

    assert (refused.value.kind, refused.value.retryable) == ("auth", False)
    assert "hunter2secret" not in f"{refused.value} {refused.value.__cause__!r}"


async def test_a_key_that_is_none_is_the_credentials_fault(tool: Snowflake, account: Account) -> None:
    with pytest.raises(ToolError, match=r"^no connection: .*correct the credential 'sf'$") as refused:
        await runner(tool)({"query": "SELECT 1"}, **given(account.port, private_key="no key at all"))

    assert (refused.value.kind, refused.value.retryable) == ("credential", False)
    assert "no key at all" not in str(refused.value)
    assert account.seen == []


async def test_nobody_at_the_address_may_be_there_later(tool: Snowflake, account: Account) -> None:
    with pytest.raises(ToolError, match=r"^no connection: .*connection refused") as failed:
        await runner(tool)({"query": "SELECT 1"}, **given(free_port()))

    assert (failed.value.kind, failed.value.code, failed.value.retryable) == (
        "connection",
        "unreachable",
        True,
    )
    assert PASSWORD not in str(failed.value)
    assert (await runner(tool)({"query": "SELECT 1"}, **given(account.port)))["row_count"] == 2


async def test_a_server_that_never_answers_costs_the_tasks_time_and_no_slot(
    tool: Snowflake, account: Account
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(ToolError, match=r"the snowflake task ran longer than 0\.2 s") as late:
            await runner(tool)({"query": "SELECT 1"}, **given(silent.getsockname()[1]), timeout=0.2)

        assert (late.value.kind, late.value.retryable) == ("timeout", True)
        assert (await runner(tool)({"query": "SELECT 1"}, **given(account.port)))["row_count"] == 2


async def test_a_cancelled_task_stops_its_statement_at_snowflake(tool: Snowflake, account: Account) -> None:
    running = asyncio.ensure_future(runner(tool)({"query": "SELECT 'SLOW'"}, **given(account.port)))
    await until(lambda: bool(account.asked(QUERY)))

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: bool(account.asked("/queries/v1/abort-request")))


async def test_an_account_that_the_document_names_is_one_of_snowflakes_own_that_its_playbook_lists() -> None:
    fields = {"account": "acme-eu", "user": "ada", "password": "p"}
    secret = Secret("sf", fields, provider=DOCUMENT)
    route = to_snowflake(secret, 1)

    assert await reached(route, secret, ("*.snowflakecomputing.com",), allow_private=False) is route
    with pytest.raises(ToolError, match=r"'acme-eu\.snowflakecomputing\.com' is none of") as refused:
        await reached(route, secret, ("example.com",), allow_private=True)
    assert refused.value.code == "refused_host"


@pytest.mark.parametrize("place", [{"account": "evil.example/#"}, {"account": "a", "region": "x/y"}])
def test_an_account_is_a_name(place: dict[str, str]) -> None:
    with pytest.raises(ToolError, match="has an `account` or a `region` that is no name"):
        to_snowflake(Secret("sf", {"user": "ada", "password": "p", **place}), 1)


async def test_a_host_that_the_document_names_is_not_reached(tool: Snowflake, account: Account) -> None:
    with pytest.raises(ToolError, match="has an address that the document's author chose") as refused:
        await runner(tool)({"query": "SELECT 1"}, **given(account.port, provider=DOCUMENT))

    assert (refused.value.code, account.seen) == ("refused_address", [])


def test_its_kind_comes_with_an_extra_and_keeps_no_keys() -> None:
    kind = kinds()["snowflake"]

    assert (kind.extra, kind.once, kind.nature) == ("snowflake", False, "write")
