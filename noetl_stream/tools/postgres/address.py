"""Where a PostgreSQL is and as whom to go there: what the credential says, and nothing that the worker's surroundings say."""

from __future__ import annotations

import os
from math import ceil
from typing import Any, Final

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import DATABASE, HOST, PASSWORD, PORT, USER, field_of, url_of

_OURS: Final = {
    "connect_timeout": "10",
    "client_encoding": "UTF8",
    "gssencmode": "disable",
    "passfile": os.devnull,
    "sslcertmode": "allow",
    "require_auth": "!gss,!sspi",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
}
_FIELDS: Final = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "dbname": DATABASE}
_AS_THEY_ARE: Final = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
    "connect_timeout",
)


def address_of(secret: Secret, database: str | None) -> str:
    """The connection string, complete: libpq then looks at no variable, password file, service or ticket.

    `database` is another one on the same server.

    Raises:
        ToolError: the credential does not say which server, or cannot be read.
    """
    said = said_of(secret)
    if database is not None:
        said["dbname"] = database
    lacking = [name for name in ("host", "user") if not said.get(name)]
    if lacking and not (lacking == ["host"] and said.get("hostaddr")):
        raise _refused(secret, f"has no {' and no '.join(lacking)}; give it `host`, `user` and `password`")
    return make_conninfo(**{**_settled(), **said})


def within(address: str, seconds: float | None) -> str:
    """The same, with no more patience for a connection than this: libpq, where it is waited for in a thread, knows no other
    end. It counts whole seconds, two at least."""
    if seconds is None:
        return address
    said, most = int(conninfo_to_dict(address).get("connect_timeout") or 0), max(2, ceil(seconds))
    return make_conninfo(address, connect_timeout=min(said or most, most))


def said_of(secret: Secret) -> dict[str, Any]:
    """What the credential itself says, by libpq's names. Raises ToolError if it cannot be read."""
    return {**_of_url(secret), **_of_fields(secret)}


def _of_url(secret: Secret) -> dict[str, Any]:
    url = url_of(secret)
    if url is None:
        return {}
    try:
        # SQLAlchemy's spelling names a driver too.
        return dict(conninfo_to_dict(_plain(url)))
    except Error:
        # What libpq says of it quotes the string, and with it the password.
        raise _refused(
            secret, "is no connection string; write `postgresql://user:password@host:port/database`"
        ) from None


def _plain(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def _of_fields(secret: Secret) -> dict[str, Any]:
    named = {**_FIELDS, **{name: (name,) for name in _AS_THEY_ARE}}
    found = {key: field_of(secret, names) for key, names in named.items()}
    return {key: value for key, value in found.items() if value is not None}


def _settled() -> dict[str, str]:
    """A value for all that libpq would otherwise take from its surroundings; a service could then add nothing to it."""
    options = (each for each in pq.Conninfo.get_defaults() if each.envvar and each.keyword != b"service")
    compiled = {each.keyword.decode(): (each.compiled or b"").decode() for each in options}
    return {key: _OURS.get(key, value) for key, value in compiled.items()}


def _refused(secret: Secret, why: str) -> ToolError:
    return ToolError(f"credential '{secret.alias}' {why}", kind="credential")
