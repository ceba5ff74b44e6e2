"""A PostgreSQL that a document names: by the postgres tool or at an end of a transfer, its host is checked like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.postgres.reaching import reached
from noetl_stream.tools.postgres.tool import Postgres
from noetl_stream.tools.transfer.tool import Transfer
from tests.tools.conftest import Run, runner, unreachable

LOCAL = "postgresql://u:p@localhost:5432/db"


def authors(url: str) -> Secret:
    return Secret("db", url, provider=DOCUMENT)


Runs = list[tuple[Run, dict[str, object]]]
TRANSFER: dict[str, object] = {
    "source": {"kind": "postgres", "query": "SELECT 1 AS n"},
    "target": {"kind": "frame"},
}


@asynccontextmanager
async def tools(*, allow_private: bool) -> AsyncIterator[Runs]:
    """Both, each with a config that asks for one row."""
    postgres = Postgres(unreachable, allow_private=allow_private)
    transfer = Transfer(allow_private=allow_private)
    yield [(runner(postgres), {"query": "SELECT 1 AS n"}), (runner(transfer), TRANSFER)]
    await postgres.close()
    await transfer.close()


async def test_a_private_host_of_the_document_is_not_reached() -> None:
    async with tools(allow_private=False) as both:
        for run, config in both:
            with pytest.raises(ToolError, match="'localhost' is a private address") as refused:
                await run(config, credentials={"db": authors(LOCAL)})

            assert refused.value.code == "refused_address"


async def test_a_host_that_the_playbook_does_not_list_is_not_reached() -> None:
    async with tools(allow_private=True) as both:
        for run, config in both:
            with pytest.raises(ToolError, match="'localhost' is none of the hosts") as refused:
                await run(config, credentials={"db": authors(LOCAL)}, hosts=("db.example.org",))

            assert refused.value.code == "refused_host"


@pytest.mark.slow
async def test_where_private_ones_are_allowed_the_documents_is_reached(database: str) -> None:
    host = str(conninfo_to_dict(database)["host"])
    async with tools(allow_private=True) as both:
        for run, config in both:
            found = await run(config, credentials={"db": authors(database)}, hosts=(host,))

            assert 1 in (found.get("row_count"), found.get("rows"))


@pytest.mark.slow
async def test_the_keychains_is_the_operators_word(database: str) -> None:
    async with tools(allow_private=False) as both:
        for run, config in both:
            found = await run(config, credentials={"db": Secret("db", database)}, hosts=("nowhere.example",))

            assert 1 in (found.get("row_count"), found.get("rows"))


async def test_every_one_of_several_hosts_is_checked_and_bound_to_its_address() -> None:
    several = "host=127.0.0.1,localhost port=5432,5433 user=u password=p"

    address = await reached(authors(several), None, allow_private=True, hosts=("127.0.0.1", "localhost:5433"))

    said = conninfo_to_dict(address)
    assert said["host"] == "127.0.0.1,localhost"
    assert str(said["hostaddr"]).split(",")[0] == "127.0.0.1"
    assert len(str(said["hostaddr"]).split(",")) == 2
    with pytest.raises(ToolError, match="private address"):
        await reached(authors("host=8.8.8.8,127.0.0.1 user=u"), None, allow_private=False, hosts=None)
    with pytest.raises(ToolError, match="private address"):
        await reached(
            authors("host=8.8.8.8 hostaddr=127.0.0.1 user=u"), None, allow_private=False, hosts=None
        )
    with pytest.raises(ToolError, match="none of the hosts"):
        await reached(authors("hostaddr=127.0.0.1 user=u"), None, allow_private=True, hosts=("localhost",))


@pytest.mark.parametrize(
    "said", ["passfile=/home/me/.pgpass", "sslkey=/a/key", "service=prod", "gssencmode=prefer"]
)
async def test_nothing_of_the_workers_own_is_lent_to_a_document(said: str) -> None:
    with pytest.raises(ToolError, match=f"there is no `{said.partition('=')[0]}` for those") as refused:
        await reached(authors(f"host=8.8.8.8 user=u {said}"), None, allow_private=True, hosts=None)

    assert refused.value.code == "refused_option"


async def test_a_socket_of_the_worker_is_not_reached() -> None:
    for host in ("/var/run/postgresql", "@abstract"):
        with pytest.raises(ToolError, match="a socket of the worker's machine"):
            await reached(authors(f"host={host} user=u"), None, allow_private=True, hosts=None)


def test_libpq_knows_every_option_that_is_left_to_authors() -> None:
    """One that it does not know would be an error of every connection."""
    from noetl_stream.tools.postgres.reaching import _AUTHORS

    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}

    assert known >= _AUTHORS
