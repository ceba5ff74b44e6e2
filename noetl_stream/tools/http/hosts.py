"""Which hosts a playbook lets its tasks call (`policy.network.allow`). It narrows what the deployment lets anyone call."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from noetl_stream.errors import ToolError

EXTENSION = "noetl_stream.hosts"
"""Where a request carries its hosts, so that each redirect is checked like the first url."""


async def check_host(request: httpx.Request) -> None:
    """Raises ToolError if the request goes to a host that its playbook does not list."""
    check_listed(request.url, request.extensions.get(EXTENSION))


def check_listed(url: httpx.URL, hosts: Sequence[str] | None, shown: str | None = None) -> None:
    """Raises ToolError if a playbook lists hosts, and the url's is none of them; it is `shown` so, by default by its name."""
    if hosts is None or listed(url, hosts):
        return
    raise ToolError(
        f"'{shown or url.host}' is none of the hosts that the playbook allows; add it to `policy.network.allow`",
        kind="client_error",
        code="refused_host",
    )


def listed(url: httpx.URL, hosts: Sequence[str]) -> bool:
    """Whether one of `name`, `*.name` (below it), `*`, each perhaps with a port, speaks of the url."""
    return any(_matches(url, host) for host in hosts)


def _matches(url: httpx.URL, pattern: str) -> bool:
    name, colon, port = pattern.rpartition(":")
    if not colon or not port.isdigit():
        name, port = pattern, ""
    if port and int(port) != (url.port or {"http": 80, "https": 443}.get(url.scheme)):
        return False
    host = url.host.lower().rstrip(".")
    if name.startswith("*."):
        return host.endswith(name[1:])
    return name == "*" or host == name.strip("[]").rstrip(".")
