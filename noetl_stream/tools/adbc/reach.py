"""Which servers a driver may be sent to. It resolves names and follows its server's word behind any guard of ours, so that an
address is the operator's; a document's own is followed where private ones are open, or to a service's own servers."""

from __future__ import annotations

import httpx

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.adbc.drivers import Route
from noetl_stream.tools.http.guard import checked_addresses
from noetl_stream.tools.http.hosts import check_listed


async def reached(
    route: Route, secret: Secret, hosts: tuple[str, ...] | None, *, allow_private: bool
) -> Route:
    """The route, for an address of the document's author to the very one that was looked at.

    Raises:
        ToolError: it may not be taken.
    """
    if secret.operators:
        return route
    server = route.server
    if not (allow_private or server.known):
        raise _refused(
            f"credential '{secret.alias}' has an address that the document's author chose; keep it in the keychain"
        )
    if not server.host or set(server.host) & set("/,@"):
        raise _refused(f"credential '{secret.alias}' names no host, or several; a document names one")
    check_listed(httpx.URL(scheme="adbc", host=server.host, port=server.port), hosts)
    if server.known:
        return route
    address, *_ = await checked_addresses(server.host, server.port, allow_private=allow_private)
    return route.at(route, address)


def _refused(sentence: str) -> ToolError:
    return ToolError(sentence, kind="client_error", code="refused_address")
