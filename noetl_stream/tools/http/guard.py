"""Against requests forged through us: a host is resolved once, every address is checked, and that address is connected to.

It stands below TLS and above the socket, so a redirect or a name that changes its mind comes through it as well.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, TypeAlias, TypeVar

import httpcore
import httpx

from noetl_stream.errors import ToolError

Address: TypeAlias = IPv4Address | IPv6Address
_Stream = TypeVar("_Stream")

METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # container credentials
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ),
    )
)
_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


def objection(address: Address, *, allow_private: bool) -> str | None:
    """Why nobody may connect there, or None. Metadata services and link-local addresses are refused always."""
    address = _plain(address)
    if address in METADATA:
        return "a metadata service"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if not address.is_global and not allow_private:
        return "a private address"
    return None


def _plain(address: Address) -> Address:
    """The IPv4 address inside the IPv6 forms that stand for one."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or _compatible(address) or address


def _compatible(address: IPv6Address) -> IPv4Address | None:
    number = int(address)
    return IPv4Address(number) if 1 < number <= 0xFFFFFFFF else None


async def checked_addresses(host: str, port: int, *, allow_private: bool) -> list[str]:
    """All addresses of `host`, none of them refused.

    Raises:
        ToolError: one of them is refused, or there is none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    except (OSError, UnicodeError) as error:
        raise ToolError(
            f"the host '{host}' cannot be resolved ({error}); check the url",
            kind="connection",
            retryable=True,
        ) from error
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    for address in addresses:
        if reason := objection(ip_address(address), allow_private=allow_private):
            private = objection(ip_address(address), allow_private=True) is None
            raise ToolError(
                f"'{host}' is {reason} ({address}), which no task may call; use another host"
                + (", or let the deployment allow private ones" if private else ""),
                kind="client_error",
                code="refused_address",
            )
    return addresses


async def connected(
    addresses: Sequence[str],
    connect: Callable[[str], Awaitable[_Stream]],
    failures: tuple[type[Exception], ...],
) -> _Stream:
    """The first of these addresses that answers. Raises what the last one did."""
    for address in addresses[:-1]:
        with suppress(*failures):
            return await connect(address)
    return await connect(addresses[-1])


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await connected(
            await checked_addresses(host, port, allow_private=self._allow_private),
            lambda address: self._inner.connect_tcp(address, port, timeout, local_address, socket_options),
            (httpcore.ConnectError, httpcore.ConnectTimeout),
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a guarded backend. httpx, bound below 0.29, has no public door for one."""

    def __init__(self, *, verify: bool, allow_private: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False) if verify else _unverified(),
            max_connections=256,
            max_keepalive_connections=32,
            keepalive_expiry=15.0,
            network_backend=GuardedBackend(allow_private=allow_private),
        )


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
