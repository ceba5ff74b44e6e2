"""The ADBC drivers: how each is told where to go and as whom, from the credential alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import DATABASE, HOST, PASSWORD, PORT, TOKEN, USER, field_of, url_of

_SNOWFLAKE: Final = "adbc.snowflake.sql."
_SETTLED: Final = {
    f"{_SNOWFLAKE}client_option.login_timeout": "10s",
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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A driver's module and what it is opened with. `places` is how it spells a parameter."""

    module: str
    install: str
    places: Literal["?", "$"] = "?"
    uri: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def connect(self, *, autocommit: bool) -> Any:
        """A DB-API connection. Raises the driver's Error; ToolError if the driver is not installed."""
        try:
            dbapi = import_module(f"{self.module}.dbapi")
        except ModuleNotFoundError as error:
            raise ToolError(
                f"the driver '{self.module}' is not installed; pip install '{self.install}'",
                kind="not_installed",
            ) from error
        return dbapi.connect(self.uri, dict(self.options), autocommit=autocommit)


def to_flightsql(secret: Secret) -> Route:
    """A server that speaks Arrow Flight SQL: `url` as `grpc+tls://host:port`, with `user` and `password`, or `token`.

    Raises:
        ToolError: the credential does not say which server.
    """
    uri = url_of(secret)
    if uri is None or "://" not in uri:
        raise _lacking(secret, "has no `url`; give it `grpc+tls://host:port`")
    token = field_of(secret, TOKEN)
    said = {
        "username": field_of(secret, USER),
        "password": field_of(secret, PASSWORD),
        "adbc.flight.sql.authorization_header": None if token is None else f"Bearer {token}",
    }
    return Route(
        module="adbc_driver_flightsql", install="noetl-stream[flightsql]", uri=uri, options=_said(said)
    )


def to_postgresql(secret: Secret) -> Route:
    """The server that a credential of `postgres` names. Raises ToolError."""
    from noetl_stream.tools.postgres.address import address_of

    return Route(
        module="adbc_driver_postgresql", install="noetl-stream", places="$", uri=address_of(secret, None)
    )


def to_snowflake(secret: Secret) -> Route:
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
    said |= {f"{_SNOWFLAKE}account": account, "username": user, **_proof(secret)}
    return Route(
        module="adbc_driver_snowflake", install="noetl-stream[snowflake]", options={**_SETTLED, **_said(said)}
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


def _said(options: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in options.items() if value is not None}


def _lacking(secret: Secret, why: str) -> ToolError:
    return ToolError(f"credential '{secret.alias}' {why}", kind="credential")
