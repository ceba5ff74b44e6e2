"""Pages of an answer: by link, by token, by number; and what ends them too early or never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.http.tool import Http
from tests.tools.conftest import Run, runner
from tests.tools.http_server import Site


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    client = GuardedClient(allow_private=True)
    yield runner(Http(client))
    await client.close()


@pytest.mark.parametrize(
    ("path", "config", "items"),
    [
        ("link", {"pagination": {}}, [1, 2, 3]),
        ("named", {"pagination": {"items": "rows", "next": "meta.url"}}, [1, 2, 3]),
        ("named", {"pagination": {"items": "rows", "next": "meta.token", "param": "cursor"}}, [1, 2, 3]),
        ("counted", {"pagination": {"items": "rows", "param": "offset"}}, [1, 2, 3, 4]),
        (
            "counted",
            {"pagination": {"items": "rows", "param": "offset", "step": 2}, "params": {"offset": 0}},
            [0, 2, 4],
        ),
    ],
)
async def test_the_items_of_all_pages_are_the_body(
    run: Run, site: Site, path: str, config: dict[str, Any], items: list[int]
) -> None:
    value = await run({"url": f"{site.url}/pages/{path}", **config})

    assert list(value) == ["status_code", "headers", "url", "elapsed", "data", "body"]
    assert value["data"] == value["body"] == items


async def test_headers_go_along(run: Run, site: Site) -> None:
    await run({"url": f"{site.url}/pages/link", "headers": {"x-key": "k"}, "pagination": {}})

    assert [seen["headers"]["x-key"] for seen in site.seen if isinstance(seen["headers"], dict)] == ["k"] * 3


@pytest.mark.parametrize(
    ("headers", "keys"), [({}, ["e1", "e1/1", "e1/2"]), ({"idempotency-key": "mine"}, ["mine"] * 3)]
)
async def test_each_page_of_a_write_is_an_effect_of_its_own(
    run: Run, site: Site, headers: dict[str, str], keys: list[str]
) -> None:
    await run({"url": f"{site.url}/pages/link", "method": "POST", "headers": headers, "pagination": {}})

    seen = [each["headers"] for each in site.seen]
    assert [each["idempotency-key"] for each in seen if isinstance(each, dict)] == keys


@pytest.mark.parametrize(
    ("path", "pagination", "sentence", "kind"),
    [
        (
            "pages/link",
            {"max_pages": 2},
            r"has more than 2 pages; raise `pagination.max_pages`",
            "client_error",
        ),
        ("hello", {}, r"answers without a list as its body; check `pagination.items`", "validation"),
        ("hello", {"items": "ok.rows"}, r"answers without a list at 'ok.rows'", "validation"),
        (
            "pages/away",
            {"items": "rows", "next": "next"},
            r"on another host \(other.example\)",
            "client_error",
        ),
        ("status/503", {}, r"answered 503", "server_error"),
    ],
)
async def test_what_ends_them_early_is_told(
    run: Run, site: Site, path: str, pagination: dict[str, Any], sentence: str, kind: str
) -> None:
    with pytest.raises(ToolError, match=sentence) as refused:
        await run({"url": f"{site.url}/{path}", "pagination": pagination})
    assert refused.value.kind == kind
