"""The http tool against a real server: what is sent, the shape of what comes back, and every way it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import ValidationError

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.http.statuses import retry_after
from noetl_stream.tools.http.tool import Http, HttpConfig
from tests.contract.cache import KEY, flights
from tests.tools.conftest import Run, call, runner
from tests.tools.http_server import Site, serving


@pytest.fixture
async def tool() -> AsyncIterator[Http]:
    client = GuardedClient(allow_private=True, max_bytes=50_000)
    yield Http(client)
    await client.close()


@pytest.fixture
def run(tool: Http) -> Run:
    return runner(tool)


async def test_an_answer_has_exactly_these_keys(run: Run, site: Site) -> None:
    value = await run({"url": f"{site.url}/hello"})

    assert list(value) == ["status_code", "headers", "url", "elapsed", "data", "body"]
    assert (value["status_code"], value["url"]) == (200, f"{site.url}/hello")
    assert value["data"] == value["body"] == {"ok": True}
    assert value["headers"]["content-type"] == "application/json"
    assert 0 < value["elapsed"] < 10


async def test_the_head_of_the_answer_goes_to_the_envelope(tool: Http, site: Site) -> None:
    done = await tool.run(call(tool, {"endpoint": site.url}))

    assert done.http["status"] == 200
    assert done.http["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("config", "body", "content_type"),
    [
        ({"json": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
        ({"data": [1, 2]}, b"[1,2]", "application/json"),
        ({"payload": {"n": "007"}}, b'{"n":"007"}', "application/json"),
        ({"body": False}, b"false", "application/json"),
        ({"body": "plain text"}, b"plain text", None),
        (
            {"form": {"a": "1 2", "b": None, "c": "", "d": [1, 2]}},
            b"a=1+2&c=&d=1&d=2",
            "application/x-www-form-urlencoded",
        ),
        (
            {
                "data": {"a": "&"},
                "headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            },
            b"a=%26",
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
        (
            {
                "body": [["a", 1], ["a", "&"], ["b", None]],
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            b"a=1&a=%26",
            "application/x-www-form-urlencoded",
        ),
        (
            {"body": {"a": 1}, "headers": {"Content-Type": "application/vnd.x+json"}},
            b'{"a":1}',
            "application/vnd.x+json",
        ),
        ({"body": [1, {"price": Decimal("1.50")}]}, b'[1,{"price":"1.50"}]', "application/json"),
        ({"body": {"t": flights().slice(0, 1)}}, b'{"t":[{"carrier":"AA","delay":3}]}', "application/json"),
    ],
)
async def test_a_body_is_sent_as_its_form_says(
    run: Run, site: Site, config: dict[str, Any], body: bytes, content_type: str | None
) -> None:
    await run({"url": site.url, "method": "post", **config})

    (seen,) = site.seen
    headers = seen["headers"]
    assert isinstance(headers, dict)
    assert (seen["method"], seen["body"], headers.get("content-type")) == ("POST", body, content_type)


async def test_a_frame_is_sent_as_its_rows(run: Run, site: Site, tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    frame = await cache.frame(await cache.put_table(KEY, flights().slice(1, 1)))

    await run({"url": site.url, "method": "POST", "json": {"rows": frame}})

    assert site.seen[0]["body"] == b'{"rows":[{"carrier":"UA","delay":null}]}'


async def test_a_body_that_is_no_form_is_told(run: Run, site: Site) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    with pytest.raises(
        ToolError, match=r"the body is no form; send a mapping, or a list of pairs"
    ) as refused:
        await run({"url": site.url, "method": "POST", "headers": form, "data": [1, 2]})
    assert (refused.value.kind, site.seen) == ("validation", [])


async def test_null_is_as_if_left_out(run: Run, site: Site) -> None:
    nothing = dict.fromkeys(("method", "headers", "params", "json", "form", "verify_ssl"))

    assert (await run({"url": site.url, **nothing}))["status_code"] == 200
    assert (site.seen[0]["method"], site.seen[0]["body"]) == ("GET", b"")


async def test_a_body_that_is_not_json_is_told(run: Run, site: Site) -> None:
    with pytest.raises(ToolError, match=r"the body is not JSON .*it holds a set") as refused:
        await run({"url": site.url, "method": "POST", "json": {"x": {1}}})
    assert (refused.value.kind, site.seen) == ("validation", [])


async def test_empty_parameters_are_sent_and_nulls_dropped(run: Run, site: Site) -> None:
    params = {"q": "a b&c", "empty": "", "none": None, "tag": ["x", None, "y"], "on": True, "n": 5}

    await run({"url": f"{site.url}/search?fixed=%20", "params": params})

    assert site.seen[0]["query"] == [
        ("fixed", " "),
        ("q", "a b&c"),
        ("empty", ""),
        ("tag", "x"),
        ("tag", "y"),
        ("on", "true"),
        ("n", "5"),
    ]


async def test_a_mapping_among_parameters_headers_or_fields_is_json_as_a_body_is(
    run: Run, site: Site
) -> None:
    price, spelled = {"price": Decimal("1.50")}, '{"price":"1.50"}'
    sent = {"params": {"q": price}, "headers": {"X-Q": price}, "form": {"q": price}}

    await run({"url": site.url, "method": "POST", **sent})
    with pytest.raises(ToolError, match="a parameter, header or field is not JSON") as found:
        await run({"url": site.url, "params": {"q": {"o": object()}}})

    [seen] = site.seen
    assert (seen["query"], seen["body"]) == ([("q", spelled)], urlencode({"q": spelled}).encode())
    assert seen["headers"]["x-q"] == spelled  # type: ignore[index]
    assert found.value.kind == "validation"


async def test_writes_carry_the_effect_key_and_reads_do_not(run: Run, site: Site) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        await run({"url": site.url, "method": method}, effect_key="effect-7")
    await run({"url": site.url, "method": "POST", "headers": {"idempotency-key": "mine"}})

    keys = [seen["headers"].get("idempotency-key") for seen in site.seen if isinstance(seen["headers"], dict)]
    assert keys == [None, "effect-7", "effect-7", "effect-7", "effect-7", "mine"]


async def test_cookies_are_not_kept_for_the_next_caller(run: Run, site: Site) -> None:
    await run({"url": site.url})
    await run({"url": site.url})

    assert "cookie" not in str(site.seen[1]["headers"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("text/application-json?is=[1]", [1]),
        ("text/application-problem+json?is={}", {}),
        ("text/application-json?is=not json", "not json"),
        ("text/text-plain?is=42", "42"),
        ("text/text-plain?is=", None),
        ('text/?is={"a":1}', {"a": 1}),
        ("text/?is={not json", "{not json"),
        ("text/?is=42", "42"),
        ("bytes", "//4A"),
    ],
)
async def test_a_body_is_parsed_by_its_content_type(run: Run, site: Site, path: str, value: Any) -> None:
    assert (await run({"url": f"{site.url}/{path}"}))["data"] == value


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "client_error", False),
        (401, "auth", False),
        (403, "auth", False),
        (404, "client_error", False),
        (408, "client_error", True),
        (425, "client_error", True),
        (429, "rate_limit", True),
        (500, "server_error", True),
        (503, "server_error", True),
    ],
)
async def test_a_refusal_is_an_error_that_carries_the_answer(
    run: Run, site: Site, status: int, kind: str, retryable: bool
) -> None:
    url = f"{site.url}/status/{status}?Retry-After=7"

    with pytest.raises(
        ToolError, match=rf"^GET http://localhost:\d+/status/{status} answered {status} "
    ) as refused:
        await run({"url": url})

    error = refused.value
    assert (error.kind, error.retryable, error.status, error.retry_after) == (kind, retryable, status, 7.0)
    assert isinstance(error.value, dict)
    assert error.value["data"] == {"error": str(status)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 01 Jan 2024 00:01:00 GMT", 60.0),
        ("Mon, 01 Jan 2024 00:01:00 -0000", 60.0),
        ("Sun, 31 Dec 2023 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, datetime(2024, 1, 1, tzinfo=UTC)) == seconds


async def test_a_server_that_hangs_up_may_be_tried_again(run: Run, site: Site) -> None:
    with pytest.raises(ToolError, match=r"/drop got no answer \(.*\); it can be tried again") as dropped:
        await run({"url": f"{site.url}/drop?token=secret"})

    assert (dropped.value.kind, dropped.value.retryable) == ("connection", True)
    assert "secret" not in dropped.value.message


async def test_a_port_without_a_server_may_be_tried_again(run: Run) -> None:
    with serving() as closed:
        url = closed.url

    with pytest.raises(ToolError, match="got no answer") as refused:
        await run({"url": url})
    assert (refused.value.kind, refused.value.retryable) == ("connection", True)


async def test_a_slow_server_ends_on_time(run: Run, site: Site) -> None:
    with pytest.raises(ToolError, match=r"/slow took longer than 0.1 s; raise its `timeout`") as late:
        await run({"url": f"{site.url}/slow"}, timeout=0.1)
    assert (late.value.kind, late.value.retryable) == ("timeout", True)


async def test_an_answer_beyond_the_bound_is_refused(run: Run, site: Site) -> None:
    with pytest.raises(ToolError, match="answers with more than 50000 bytes") as large:
        await run({"url": f"{site.url}/large"})
    assert (large.value.kind, large.value.code, large.value.retryable) == ("client_error", "too_large", False)


@pytest.mark.parametrize("url", ["ftp://localhost/x", "nowhere", "http://"])
async def test_what_is_no_http_url_is_told(run: Run, url: str) -> None:
    with pytest.raises(ToolError, match=r"is no http url \(.*\); check it") as refused:
        await run({"url": url})
    assert (refused.value.kind, refused.value.retryable) == ("validation", False)


async def test_redirects_are_followed_unless_refused(run: Run, site: Site) -> None:
    url = f"{site.url}/redirect?to=/hello"

    assert (await run({"url": url}))["url"] == f"{site.url}/hello"
    assert (await run({"url": url, "follow_redirects": False}))["status_code"] == 302


async def test_redirects_without_end_are_told(run: Run, site: Site) -> None:
    with pytest.raises(ToolError, match="redirects without end") as endless:
        await run({"url": f"{site.url}/redirect?to="})
    assert endless.value.kind == "client_error"


async def test_the_processs_proxy_does_not_count(
    run: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert (await run({"url": site.url}))["status_code"] == 200


async def test_certificates_are_checked_unless_told_otherwise(run: Run) -> None:
    with serving(tls=True) as secure:
        with pytest.raises(ToolError, match="certificate verify failed") as refused:
            await run({"url": secure.url})
        assert refused.value.kind == "connection"

        assert (await run({"url": secure.url, "verify_ssl": False}))["status_code"] == 200


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "http://x", "method": "GET /"},
        {"url": "http://x", "json": 1, "data": 2},
        {"url": "http://x", "body": "a", "form": {"b": 1}},
        {"url": "http://x", "inptu": 1},
    ],
)
def test_a_config_says_one_thing(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpConfig.model_validate(config)
