"""What drivers are kept from: addresses of a document's author, slots that they never give back, and words that hold secrets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from adbc_driver_manager import AdbcStatusCode, OperationalError

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.adbc.drivers import Route, to_flightsql, to_postgresql, to_snowflake
from noetl_stream.tools.adbc.failing import connecting_failed, statement_failed
from noetl_stream.tools.adbc.reach import reached
from noetl_stream.tools.adbc.threads import MOST_BEHIND, DriverThreads
from noetl_stream.tools.adbc.tool import Adbc
from tests.tools.conftest import runner, unreachable

FLIGHT = "grpc+tls://localhost:31337"
POSTGRES = "postgresql://u:p@localhost:5433/d"


def authors(value: str | Mapping[str, Value]) -> Secret:
    return Secret("db", value, provider=DOCUMENT)


async def to(secret: Secret, hosts: tuple[str, ...] | None = None, *, private: bool = True) -> Route:
    value = secret.reveal()
    route = to_snowflake if isinstance(value, Mapping) else to_flightsql if "grpc" in value else to_postgresql
    return await reached(route(secret, 5), secret, hosts, allow_private=private)


@pytest.mark.parametrize("value", [FLIGHT, POSTGRES])
async def test_an_address_of_the_documents_author_is_followed_only_where_private_ones_are(value: str) -> None:
    with pytest.raises(ToolError, match="the document's author chose; keep it in the keychain") as refused:
        await to(authors(value), private=False)

    assert (refused.value.kind, refused.value.code) == ("client_error", "refused_address")
    assert await to(Secret("db", value), private=False)


@pytest.mark.parametrize("value", [FLIGHT, POSTGRES])
async def test_a_playbook_lists_the_hosts_that_its_author_may_name(value: str) -> None:
    assert await to(authors(value), ("localhost",))
    with pytest.raises(
        ToolError, match=r"'localhost' is none of the hosts .*`policy\.network\.allow`"
    ) as refused:
        await to(authors(value), ("example.com",))

    assert refused.value.code == "refused_host"


@pytest.mark.parametrize(
    "value",
    [
        "grpc://169.254.169.254:80",
        "postgresql://u@169.254.169.254/d",
        "host=somewhere.example hostaddr=169.254.169.254 user=u",
        {"account": "a", "user": "u", "password": "p", "host": "169.254.169.254"},
    ],
)
async def test_a_metadata_service_is_refused_even_where_private_addresses_are_allowed(value: Any) -> None:
    with pytest.raises(ToolError, match=r"is a metadata service \(169\.254\.169\.254\)"):
        await to(authors(value))


@pytest.mark.parametrize("value", ["host=/run/postgresql user=u", "host=a,b user=u", "host=@abstract user=u"])
async def test_a_document_names_one_host_and_no_socket(value: str) -> None:
    with pytest.raises(ToolError, match="names no host, or several; a document names one"):
        await to(authors(value))


async def test_a_driver_connects_to_the_address_that_was_looked_at() -> None:
    flight, postgres = await to(authors("grpc+tls://127.0.0.1:99")), await to(authors(POSTGRES))

    assert flight.uri == "grpc+tls://127.0.0.1:99"
    assert flight.options["adbc.flight.sql.client_option.tls_override_hostname"] == "127.0.0.1"
    assert "host=localhost" in str(postgres.uri)
    assert "hostaddr=127.0.0.1" in str(postgres.uri) or "hostaddr=::1" in str(postgres.uri)


@pytest.mark.parametrize(("said", "bound"), [("", 3), ("?connect_timeout=2", 2), ("?connect_timeout=60", 3)])
def test_connecting_has_no_more_than_its_tasks_time(said: str, bound: int) -> None:
    assert f"connect_timeout={bound}" in str(to_postgresql(Secret("db", POSTGRES + said), 2.5).uri)
    assert (
        to_flightsql(Secret("db", FLIGHT), 2.5).options["adbc.flight.sql.rpc.timeout_seconds.query"] == "2.5"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "url"),
    [("postgresql", "postgresql://u:p@127.0.0.1:{}/d"), ("flightsql", "grpc://127.0.0.1:{}")],
)
async def test_a_server_that_never_answers_costs_the_tasks_time_and_no_slot(driver: str, url: str) -> None:
    run = runner(Adbc(unreachable, threads=1))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        secret = Secret("db", url.format(silent.getsockname()[1]))
        for _ in range(2):
            with pytest.raises(ToolError, match=r"the adbc task ran longer than 0\.2 s and was stopped"):
                await run({"driver": driver, "query": "SELECT 1"}, credentials={"db": secret}, timeout=0.2)


class Stuck:
    """A session whose driver comes back when it is told to, whoever stops it."""

    def __init__(self) -> None:
        self.back = threading.Event()

    def run(self, text: str) -> dict[str, Any]:
        self.back.wait()
        return {}

    def stop(self) -> None:
        """It does not listen."""


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    session = Stuck()
    yield session
    session.back.set()


async def test_so_many_drivers_may_be_left_behind(stuck: Stuck) -> None:
    threads = DriverThreads("adbc", 1, patience=0)

    for _ in range(MOST_BEHIND):
        with pytest.raises(ToolError, match="ran longer than"):
            await threads.run(stuck, "", 0.001)
    with pytest.raises(ToolError, match="16 adbc tasks were stopped whose driver still waits") as refused:
        await threads.run(stuck, "", 1)
    assert (refused.value.kind, refused.value.code, refused.value.retryable) == (
        "connection",
        "unanswered",
        True,
    )

    stuck.back.set()
    while True:
        try:
            assert await threads.run(stuck, "", 1) == {}
            break
        except ToolError:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("postgresql://u:pass%40word@h/d", "denied for pass@word and pass%40word"),
        ("host=h user=u password='pass word'", "conninfo host=h user=u password='pass word'"),
        ({"password": "pass@word"}, "denied for pass%40word"),
        ({"password": {"of": ["passw0rd"]}}, "denied for passw0rd"),
        ({"private_key": "-----BEGIN\nMIIEvQ\nIBADAN\n-----END"}, "asn1: MIIEvQ and IBADAN"),
    ],
)
def test_no_message_holds_a_value_of_the_credential(value: Any, told: str) -> None:
    error = OperationalError(told, status_code=AdbcStatusCode.INTERNAL)
    secret = Secret("db", value)

    for failed in (connecting_failed(error, secret), statement_failed(error, "command_0: ", secret)):
        assert not [each for each in ("pass", "MIIE", "IBAD") if each in str(failed).replace("password=", "")]


def test_what_is_shorter_than_a_secret_stays() -> None:
    error = OperationalError("no column abc in t", status_code=AdbcStatusCode.INTERNAL)

    assert (
        str(statement_failed(error, "", Secret("db", {"user": "abc", "role": "t"}))) == "no column abc in t"
    )


def test_a_server_that_lacks_transactions_is_no_connection_to_try_again() -> None:
    error = OperationalError("no transactions", status_code=AdbcStatusCode.NOT_IMPLEMENTED)

    failed = connecting_failed(error, Secret("db", "u"))

    assert (failed.kind, failed.code, failed.retryable) == ("sql", "lacking", False)


def test_a_login_that_is_refused_later_is_told_as_one() -> None:
    error = OperationalError("token expired", status_code=AdbcStatusCode.UNAUTHENTICATED)

    assert statement_failed(error, "command_0: ", Secret("db", "u")).kind == "auth"
