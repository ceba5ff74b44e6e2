"""The ADBC drivers: how each is told where to go and as whom, from the credential alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import ceil
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import DATABASE, HOST, PASSWORD, PORT, TOKEN, USER, field_of, url_of

_FLIGHT: Final = "adbc.flight.sql."
_FLIGHT_PORT: Final = 31337
_TIMEOUTS: Final = tuple(f"{_FLIGHT}rpc.timeout_seconds.{each}" for each in ("fetch", "query", "update"))
_SNOWFLAKE: Final = "adbc.snowflake.sql."
_SNOWFLAKE_HOST: Final = "snowflakecomputing.com"
_SETTLED: Final = {
    # A request may wait 45 s for its statement; what has no answer by then has no server.
    f"{_SNOWFLAKE}client_option.client_timeout": "90s",
    f"{_SNOWFLAKE}client_option.disable_telemetry": "true",
    # Else a number of its widest type would come as a float.
    f"{_SNOWFLAKE}client_option.use_high_precision": "true",
}
_SESSION: Final[Mapping[str, tuple[str, ...]]] = {
    "db": DATABASE,
    "schema": ("schema",),
    "warehouse": ("warehouse",),
    "role": ("role",),
    "region": ("region",),
    "uri.host": HOST,
    "uri.port": PORT,
    "uri.protocol": ("protocol",),
}
_NAME: Final = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a driver goes. `known` are servers that nobody's credential can put elsewhere: a service's own."""

    host: str
    port: int
    tls: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A driver's module and what it is opened with.

    `places` is how it spells a parameter. `updates` says that a statement without rows must be announced as one.
    `afterwards` are options of the connection once it stands. `at` is the same route to an address that was looked at.
    """

    module: str
    install: str
    server: Server
    at: Callable[[Route, str], Route]
    places: Literal["?", "$"] = "?"
    updates: bool = False
    uri: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    afterwards: Mapping[str, str] = field(default_factory=dict)

    def connect(self, *, transaction: bool) -> Any:
        """A DB-API connection, perhaps in a transaction, which its `adbc_connection` commits.

        Raises:
            Error: the driver's own; NotSupportedError where the server has no transactions.
            ToolError: the driver is not installed.
        """
        try:
            dbapi = import_module(f"{self.module}.dbapi")
        except ModuleNotFoundError as error:
            raise ToolError(
                f"the driver '{self.module}' is not installed; pip install '{self.install}'",
                kind="not_installed",
            ) from error
        connection = dbapi.connect(self.uri, dict(self.options), autocommit=True)
        with ExitStack() as undo:
            undo.callback(connection.close)
            if transaction:  # asked of DB-API, a server without any would be let off with a warning
                connection.adbc_connection.set_autocommit(False)
            if self.afterwards:
                connection.adbc_connection.set_options(**self.afterwards)
            undo.pop_all()
        return connection


def to_flightsql(secret: Secret, seconds: float) -> Route:
    """A server that speaks Arrow Flight SQL: `url` as `grpc+tls://host:port`, with `user` and `password`, or `token`.

    Raises:
        ToolError: the credential does not say which server.
    """
    uri = url_of(secret) or ""
    server = _flight_server(uri)
    if server is None:
        raise _lacking(secret, "has no `url`; give it `grpc+tls://host:port`")
    token = field_of(secret, TOKEN)
    login = {"username": field_of(secret, USER), "password": field_of(secret, PASSWORD)}
    said = {
        # The driver takes one of both.
        **(login if token is None else {f"{_FLIGHT}authorization_header": f"Bearer {token}"}),
        f"{_FLIGHT}client_option.tls_root_certs": field_of(secret, ("tls_root_certs", "ca", "ca_cert")),
        **dict.fromkeys(_TIMEOUTS, f"{seconds:g}"),
    }
    return Route(
        module="adbc_driver_flightsql",
        install="noetl-stream[flightsql]",
        server=server,
        at=_flight_at,
        updates=True,
        uri=uri,
        options=_said(said),
        # The first request has its time like connecting; a statement takes as long as its task may.
        afterwards=dict.fromkeys(_TIMEOUTS, "0"),
    )


def to_postgresql(secret: Secret, seconds: float) -> Route:
    """The server that a credential of `postgres` names. Raises ToolError."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from noetl_stream.tools.postgres.address import address_of

    address = address_of(secret, None)
    parts = conninfo_to_dict(address)
    bound = min(ceil(seconds), int(parts.get("connect_timeout") or seconds) or ceil(seconds))
    server = Server(host=str(parts.get("hostaddr") or parts.get("host")), port=_port(parts.get("port"), 5432))
    return Route(
        module="adbc_driver_postgresql",
        install="noetl-stream",
        server=server,
        at=lambda route, found: replace(route, uri=make_conninfo(route.uri or "", hostaddr=found)),
        places="$",
        uri=make_conninfo(address, connect_timeout=bound),
    )


def to_snowflake(secret: Secret, seconds: float) -> Route:
    """An account of Snowflake.

    Raises:
        ToolError: the credential names no account, or nobody who may enter it.
    """
    said = {f"{_SNOWFLAKE}{key}": field_of(secret, names) for key, names in _SESSION.items()}
    account, user = field_of(secret, ("account", "sf_account")), field_of(secret, (*USER, "sf_user"))
    if account is None or user is None:
        raise _lacking(
            secret, "has no `account` or no `user`; give it both, and `password`, `token` or `private_key`"
        )
    said |= {
        f"{_SNOWFLAKE}account": account,
        f"{_SNOWFLAKE}client_option.login_timeout": f"{seconds:g}s",
        "username": user,
        **_proof(secret),
    }
    return Route(
        module="adbc_driver_snowflake",
        install="noetl-stream[snowflake]",
        server=_snowflake_server(secret, str(account)),
        at=_snowflake_at,
        options={**_SETTLED, **_said(said)},
    )


def _proof(secret: Secret) -> dict[str, Any]:
    """Who asks: by key, by token or by password, the first that the credential has."""
    way = f"{_SNOWFLAKE}auth_type"
    if key := field_of(secret, ("private_key",)):
        name = f"{_SNOWFLAKE}client_option.jwt_private_key_pkcs8_"
        phrase = field_of(secret, ("private_key_passphrase", "private_key_password"))
        return {way: "auth_jwt", f"{name}value": key, f"{name}password": phrase}
    if token := field_of(secret, TOKEN):
        return {way: "auth_oauth", f"{_SNOWFLAKE}client_option.auth_token": token}
    if password := field_of(secret, (*PASSWORD, "sf_password")):
        return {way: "auth_snowflake", "password": password}
    raise _lacking(secret, "has no `password`, `token` or `private_key`; give it one")


def _snowflake_server(secret: Secret, account: str) -> Server:
    region, host = field_of(secret, ("region",)), field_of(secret, HOST)
    if not all(_NAME.fullmatch(str(each)) for each in (account, region) if each is not None):
        raise _lacking(secret, "has an `account` or a `region` that is no name; write `organisation-account`")
    if host is not None:
        tls = str(field_of(secret, ("protocol",)) or "https") == "https"
        return Server(host=str(host), port=_port(field_of(secret, PORT), 443), tls=tls)
    named = f"{account}.{region}" if region else account
    return Server(host=f"{named}.{_SNOWFLAKE_HOST}", port=443, tls=True, known=True)


def _snowflake_at(route: Route, found: str) -> Route:
    """With TLS the server's certificate answers for the name."""
    return (
        route
        if route.server.tls
        else replace(route, options={**route.options, f"{_SNOWFLAKE}uri.host": found})
    )


def _flight_server(uri: str) -> Server | None:
    try:
        parts = urlsplit(uri)
        if not parts.scheme.startswith("grpc") or not parts.hostname or parts.username:
            return None
        return Server(
            host=parts.hostname, port=parts.port or _FLIGHT_PORT, tls=parts.scheme.endswith(("+tls", "s"))
        )
    except ValueError:  # of a port that is none, or of half an IPv6 address
        return None


def _flight_at(route: Route, found: str) -> Route:
    server, scheme = route.server, (route.uri or "").partition("://")[0]
    shown = f"[{found}]" if ":" in found else found
    name = {f"{_FLIGHT}client_option.tls_override_hostname": server.host} if server.tls else {}
    return replace(route, uri=f"{scheme}://{shown}:{server.port}", options={**route.options, **name})


def _port(said: Any, otherwise: int) -> int:
    text = str(said or otherwise)
    return int(text) if text.isdecimal() else otherwise


def _said(options: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in options.items() if value is not None}


def _lacking(secret: Secret, why: str) -> ToolError:
    return ToolError(f"credential '{secret.alias}' {why}", kind="credential")
