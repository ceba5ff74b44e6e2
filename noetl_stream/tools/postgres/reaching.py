"""A server that a document names: its hosts are checked and pinned, and nothing of the worker's own is lent to reach it."""

from __future__ import annotations

from typing import Final

import httpx
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.http.guard import checked_addresses
from noetl_stream.tools.http.hosts import check_listed
from noetl_stream.tools.postgres.address import address_of, said_of

_PORT: Final = "5432"
_AUTHORS: Final = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "sslmode",
        "sslnegotiation",
        "channel_binding",
        "connect_timeout",
        "application_name",
        "options",
        "client_encoding",
        "target_session_attrs",
        "load_balance_hosts",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    ]
)
"""What an author may say. The rest names files, services or tickets of the worker."""


async def reached(
    secret: Secret, database: str | None, *, allow_private: bool, hosts: tuple[str, ...] | None
) -> str:
    """The connection string of the credential's server, as `address_of` has it.

    Raises:
        ToolError: it stands in the document, and may not be reached.
    """
    address = address_of(secret, database)
    if secret.operators:
        return address
    if beyond := sorted(said_of(secret).keys() - _AUTHORS):
        raise ToolError(
            f"credential '{secret.alias}' stands in the document, and there is no `{beyond[0]}` for those; "
            "put it into the keychain",
            kind="client_error",
            code="refused_option",
        )
    return await _pinned(address, allow_private, hosts)


async def _pinned(address: str, allow_private: bool, hosts: tuple[str, ...] | None) -> str:
    """The same, bound to the addresses that were checked; each name stays, for its certificate."""
    options = conninfo_to_dict(address)
    addresses = _each(options.get("hostaddr"))
    names = _each(options.get("host")) or addresses
    ports = _each(options.get("port")) or [_PORT]
    pinned = []
    for n, name in enumerate(names):
        port = int(ports[min(n, len(ports) - 1)] or _PORT)
        if name.startswith(("/", "@")):
            raise ToolError(
                "a socket of the worker's machine that stands in the document is not reached; name a host",
                kind="client_error",
                code="refused_address",
            )
        check_listed(httpx.URL(scheme="postgresql", host=name, port=port), hosts, shown=name)
        target = addresses[n] if n < len(addresses) and addresses[n] else name
        pinned.append((await checked_addresses(target, port, allow_private=allow_private))[0])
    return make_conninfo(address, host=",".join(names), hostaddr=",".join(pinned))


def _each(value: object) -> list[str]:
    return [each.strip() for each in str(value).split(",")] if value else []
