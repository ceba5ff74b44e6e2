"""The mcp tool, against a real MCP server over both of its transports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.mcp import guard
from noetl_stream.tools.mcp.tool import Mcp
from tests.children import HOST
from tests.tools.conftest import Run, call, runner, until
from tests.tools.http_server import Site
from tests.tools.mcp_server import Server, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def run() -> Run:
    return runner(Mcp(allow_private=True))


def secret(*, provider: str | None = None, **fields: Any) -> Mapping[str, Secret]:
    return {"shop": Secret("shop", fields, provider=provider)}


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_tool_answers_with_content_and_structure(run: Run, transport: str) -> None:
    with serving(transport) as server:
        config = {"endpoint": server.url, "transport": transport, "tool": "price"}
        found = await run({**config, "arguments": {"item": "tea", "count": 2}})

    assert found["structuredContent"] == {"item": "tea", "total": 24}
    assert found["content"][0]["type"] == "text"
    assert '"total": 24' in found["text"]


async def test_tools_are_listed_up_to_a_bound(run: Run, server: Server) -> None:
    every = await run({"endpoint": server.url, "method": "tools/list"})
    some = await run({"endpoint": server.url, "method": "tools/list", "limit": 1})

    assert [tool["name"] for tool in every["tools"]] == ["price", "broken", "key", "endless"]
    assert every["tools"][0]["inputSchema"]["required"] == ["item"]
    assert (every["count"], every["truncated"]) == (4, False)
    assert (some["count"], some["truncated"], len(some["tools"])) == (1, True, 1)


async def test_a_failure_of_the_tool_is_an_error_that_carries_what_it_said(run: Run, server: Server) -> None:
    with pytest.raises(
        ToolError, match="the tool 'broken' failed: Error executing tool broken: out of tea"
    ) as found:
        await run({"endpoint": server.url, "tool": "broken"})

    assert (found.value.kind, found.value.code, found.value.retryable) == (
        "client_error",
        "tool_error",
        False,
    )
    assert isinstance(found.value.value, dict)
    assert "out of tea" in found.value.value["text"]


@pytest.mark.parametrize(
    "asked",
    [{"tool": "nothing"}, {"tool": "price", "arguments": {"count": "many"}}],
    ids=["tool", "arguments"],
)
async def test_what_the_server_does_not_know_is_an_error(
    run: Run, server: Server, asked: Mapping[str, Any]
) -> None:
    with pytest.raises(ToolError) as found:
        await run({"endpoint": server.url, **asked})

    assert (found.value.kind, found.value.retryable) == ("client_error", False)


async def test_every_try_of_an_effect_carries_its_key(run: Run, server: Server) -> None:
    for _ in range(2):
        await run({"endpoint": server.url, "tool": "key"}, effect_key="e42")

    assert server.keys[-2:] == ["e42", "e42"]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [({"token": "t-1"}, "Bearer t-1"), ({"user": "ann", "password": "pw"}, "Basic YW5uOnB3")],
    ids=["token", "password"],
)
async def test_a_credential_is_a_header_of_every_request(
    run: Run, server: Server, fields: Mapping[str, Any], sent: str
) -> None:
    before = len(server.seen)
    await run({"tool": "price", "arguments": {"item": "tea"}}, credentials=secret(url=server.url, **fields))

    assert {seen.get("authorization") for seen in server.seen[before:]} == {sent}


async def test_a_credential_that_is_refused_is_doubted_and_not_shown(run: Run, server: Server) -> None:
    doubted: list[bool] = []
    wrong = Secret("shop", {"token": "wrong"}, on_doubt=lambda: doubted.append(True))
    with pytest.raises(ToolError, match="answered 401") as found:
        await run({"endpoint": server.url, "tool": "price"}, credentials={"shop": wrong})

    assert (found.value.kind, found.value.status, doubted) == ("auth", 401, [True])
    assert "wrong" not in str(found.value)


class TestReach:
    async def test_a_private_address_in_a_document_is_refused_and_the_operators_is_not(
        self, server: Server
    ) -> None:
        run = runner(Mcp())
        asked = {"tool": "price", "arguments": {"item": "tea"}}
        for config, credentials in (
            ({**asked, "endpoint": server.url}, {}),
            (asked, secret(url=server.url, provider=DOCUMENT)),
        ):
            with pytest.raises(ToolError) as found:
                await run(config, credentials=credentials)
            assert found.value.code == "refused_address"

        assert (await run(asked, credentials=secret(url=server.url)))["structuredContent"]["total"] == 12

    async def test_a_playbook_calls_the_hosts_it_lists(self, run: Run, server: Server) -> None:
        config = {"endpoint": server.url, "method": "tools/list"}

        with pytest.raises(ToolError) as found:
            await run(config, hosts=("other.example",))

        assert found.value.code == "refused_host"
        assert (await run(config, hosts=(HOST,)))["count"] == 4

    async def test_nobody_there_can_be_tried_again(self, run: Run) -> None:
        with pytest.raises(ToolError, match="no MCP server answers at") as found:
            await run({"endpoint": f"http://user:hidden@{HOST}:1/mcp?key=hidden", "tool": "price"})

        assert (found.value.kind, found.value.retryable) == ("connection", True)
        assert "hidden" not in str(found.value)

    @pytest.mark.parametrize("endpoint", [None, "shop", "ftp://shop/mcp"])
    async def test_an_address_that_is_none_is_told(self, run: Run, endpoint: str | None) -> None:
        with pytest.raises(ToolError, match="names no server") as found:
            await run({"endpoint": endpoint, "tool": "price"})

        assert found.value.kind == "validation"

    async def test_what_speaks_no_mcp_is_told(self, run: Run, site: Site) -> None:
        with pytest.raises(ToolError) as found:
            await run({"endpoint": f"{site.url}/text?is=hello", "tool": "price"})

        assert found.value.kind == "client_error"

    async def test_an_answer_is_bounded(
        self, run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "MAX_BYTES", 100)
        with pytest.raises(ToolError) as found:
            await run({"endpoint": server.url, "method": "tools/list"})

        assert found.value.code == "too_large"


class TestTime:
    async def test_a_call_that_never_ends_is_stopped_at_the_server(self, run: Run) -> None:
        with serving() as server:
            with pytest.raises(ToolError, match="ran longer than 1 s") as found:
                await run({"endpoint": server.url, "tool": "endless"}, timeout=1.0)

            assert (found.value.kind, found.value.retryable) == ("timeout", True)
            assert await asyncio.to_thread(server.stopped.wait, 20)

    async def test_a_cancelled_call_is_stopped_at_the_server(self) -> None:
        tool = Mcp(allow_private=True)
        with serving() as server:
            running = asyncio.create_task(tool.run(call(tool, {"endpoint": server.url, "tool": "endless"})))
            await until(server.waits.is_set)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

            assert await asyncio.to_thread(server.stopped.wait, 20)


def test_a_call_names_its_tool() -> None:
    with pytest.raises(ValueError, match="needs a `tool`"):
        Mcp.config.model_validate({"endpoint": "https://shop.example/mcp"})
