"""Which hosts a playbook's tasks may call: a list that narrows, and never opens."""

from __future__ import annotations

import httpx
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.http.hosts import listed
from noetl_stream.tools.http.tool import Http
from tests.tools.conftest import runner
from tests.tools.http_server import Site


@pytest.mark.parametrize(
    ("pattern", "url", "is_listed"),
    [
        ("api.example", "https://api.example/x", True),
        ("api.example", "https://API.example./x", True),
        ("api.example", "https://b.api.example/x", False),
        ("api.example", "https://api.example.evil.test/x", False),
        ("*.example", "https://api.example/x", True),
        ("*.example", "https://example/x", False),
        ("*.example", "https://notexample/x", False),
        ("api.example:8443", "https://api.example:8443/x", True),
        ("api.example:8443", "https://api.example/x", False),
        ("api.example:443", "https://api.example/x", True),
        ("[::1]:80", "http://[::1]/x", True),
        ("api.example", "https://api.example@evil.test/x", False),
        ("*", "https://anything.test/x", True),
    ],
)
def test_a_host_is_listed_by_its_name_below_a_name_or_with_its_port(
    pattern: str, url: str, is_listed: bool
) -> None:
    assert listed(httpx.URL(url), (pattern,)) is is_listed


async def test_a_host_that_is_not_listed_is_never_called(site: Site) -> None:
    run = runner(Http(client := GuardedClient(allow_private=True)))
    try:
        with pytest.raises(
            ToolError, match=r"'localhost' is none of the hosts that the playbook allows"
        ) as no:
            await run({"url": site.url}, hosts=("api.example",))
        answer = await run({"url": site.url}, hosts=("localhost",))
    finally:
        await client.close()

    assert (no.value.kind, no.value.code, no.value.retryable) == ("client_error", "refused_host", False)
    assert answer["status_code"] == 200
    assert len(site.seen) == 1


async def test_a_redirect_leads_to_listed_hosts_alone(site: Site) -> None:
    run = runner(Http(client := GuardedClient(allow_private=True)))
    elsewhere = site.url.replace("localhost", "127.0.0.1")
    try:
        with pytest.raises(ToolError, match=r"'127\.0\.0\.1' is none of the hosts"):
            await run({"url": f"{site.url}/redirect?to={elsewhere}/"}, hosts=("localhost",))
    finally:
        await client.close()

    assert len(site.seen) == 1


async def test_a_listed_address_stays_closed_where_the_deployment_closes_it(site: Site) -> None:
    run = runner(Http(client := GuardedClient(allow_private=False)))
    try:
        with pytest.raises(ToolError, match="is a private address"):
            await run({"url": site.url}, hosts=("localhost",))
    finally:
        await client.close()
