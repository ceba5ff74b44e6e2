"""Where the http tool does not go, however the address is spelled and whoever redirects there."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.http.guard import GuardedBackend, checked_addresses, objection
from noetl_stream.tools.http.tool import Http
from tests.tools.conftest import runner
from tests.tools.http_server import Site


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_metadata_services_are_refused_even_where_private_addresses_are_allowed(address: str) -> None:
    assert objection(ip_address(address), allow_private=True) is not None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "0.0.0.0",
        "::",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
    ],
)
def test_private_addresses_are_the_deployments_choice(address: str) -> None:
    assert objection(ip_address(address), allow_private=False) is not None
    assert objection(ip_address(address), allow_private=True) is None


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_open(address: str) -> None:
    assert objection(ip_address(address), allow_private=False) is None


async def test_no_word_of_the_deployment_opens_a_metadata_service() -> None:
    with pytest.raises(ToolError) as refused:
        await checked_addresses("169.254.169.254", 80, allow_private=True)

    assert refused.value.message == (
        "'169.254.169.254' is a metadata service (169.254.169.254), which no task may call; use another host"
    )


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "0"])
async def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    run = runner(Http(client := GuardedClient()))
    try:
        with pytest.raises(
            ToolError, match=r"is a private address \(.*\), which no task may call; .* let the deployment"
        ) as no:
            await run({"url": f"http://{host}:1/"})
        assert (no.value.kind, no.value.code, no.value.retryable) == (
            "client_error",
            "refused_address",
            False,
        )
    finally:
        await client.close()


async def test_a_redirect_is_checked_like_the_first_url(site: Site) -> None:
    run = runner(Http(client := GuardedClient(allow_private=True)))
    try:
        with pytest.raises(ToolError, match=r"'169\.254\.169\.254' is a metadata service"):
            await run({"url": f"{site.url}/redirect?to=http://169.254.169.254/latest/meta-data"})
    finally:
        await client.close()


async def test_a_host_nobody_knows_may_be_tried_again() -> None:
    with pytest.raises(ToolError, match=r"the host 'no\.such\.host\.invalid' cannot be resolved") as unknown:
        await checked_addresses("no.such.host.invalid", 80, allow_private=True)
    assert (unknown.value.kind, unknown.value.retryable) == ("connection", True)


async def test_the_checked_address_is_the_one_connected_to(site: Site) -> None:
    """The next of several addresses is tried when the first has no server: localhost may be ::1 first."""
    port = int(site.url.rpartition(":")[2])

    stream = await GuardedBackend(allow_private=True).connect_tcp("localhost", port, timeout=5)

    assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
    await stream.aclose()
