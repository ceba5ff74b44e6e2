"""Where a lake's catalog is, and how the lake is attached: a password goes the way of DuckDB's secrets, which show none."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.connecting import first_credential
from noetl_stream.tools.ducklake.config import DucklakeConfig
from noetl_stream.tools.ducklake.extensions import load
from noetl_stream.tools.postgres.failing import unconnected
from noetl_stream.tools.postgres.reaching import reached

_CONNECT_SECONDS: Final = 10
_SECRET: Final = "noetl_catalog"
_SCHEME: Final = re.compile(
    r"(?:ducklake:)?(?:(duckdb|file|sqlite|postgres|postgresql|[a-z][a-z0-9+]+):)?", re.IGNORECASE
)
_UNCONNECTED: Final = re.compile(r"Unable to connect to Postgres at .*?\": (?P<said>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """A catalog, as DuckLake names it. `extension` is what reads it, if DuckDB itself does not."""

    path: str = field(repr=False)
    extension: str | None = None
    password: str = field(default="", repr=False)

    def attach(self, connection: duckdb.DuckDBPyConnection, config: DucklakeConfig) -> None:
        """Attach the lake and use it.

        Raises:
            ToolError: an extension is missing, or it cannot be attached.
        """
        load(connection, "ducklake")
        options = {} if config.data_path is None else {"DATA_PATH": config.data_path}
        if self.extension is not None:
            load(connection, self.extension)
        if self.password:
            connection.execute(f"CREATE SECRET {_SECRET} (TYPE postgres, PASSWORD {_literal(self.password)})")
            options["META_SECRET"] = _SECRET
        name = config.catalog_name.replace('"', '""')
        given = ", ".join(f"{key} {_literal(value)}" for key, value in options.items())
        try:
            connection.execute(
                f'ATTACH {_literal(f"ducklake:{self.path}")} AS "{name}"{f" ({given})" if given else ""}'
            )
        except duckdb.Error as error:
            raise self._unattached(error, config.catalog_name) from None
        connection.execute(f'USE "{name}"')

    def _unattached(self, error: duckdb.Error, name: str) -> ToolError:
        """What DuckDB says of it quotes the whole address."""
        text = str(error)
        if refused := _UNCONNECTED.search(text):
            return unconnected(" ".join(refused["said"].split()), f"the catalog of '{name}': ")
        said = text.replace(self.path, "…").replace(self.password or self.path, "…")
        return ToolError(
            f"the lake '{name}' cannot be attached: {' '.join(said.split())}",
            kind="sql",
            code=type(error).__name__,
            retryable="lock" in text or "already attached" in text,
        )


async def catalog_of(call: Call, *, allow_private: bool) -> Catalog:
    """The catalog that a task names.

    Raises:
        ToolError: it names none, or one that it may not reach.
    """
    config: DucklakeConfig = call.config
    named, secret = config.catalog_connection, first_credential(call)
    if config.data_path is not None and "://" in config.data_path:
        raise _invalid("`data_path` is a folder in this version; stores of objects are not reached")
    if named is None and secret is None:
        raise _invalid("there is no catalog; give it `catalog_connection`, a file, or `auth`, a PostgreSQL")
    if named is None or secret is not None:
        if named is not None:
            raise _invalid("the catalog is named twice; say it in `catalog_connection` or by `auth`")
        assert secret is not None, "one of the two is there"
        return await _on_server(secret, call, allow_private)
    scheme = _SCHEME.match(named)
    kind, rest = ((scheme[1] or "").lower(), named[scheme.end() :]) if scheme else ("", named)
    match kind:
        case "postgres" | "postgresql":
            text = f"postgresql:{rest}" if rest.startswith("//") else rest
            return await _on_server(
                Secret("catalog_connection", text, provider=DOCUMENT), call, allow_private
            )
        case "sqlite":
            return Catalog(path=f"sqlite:{rest}", extension="sqlite_scanner")
        case "" | "duckdb" | "file":
            return Catalog(path=rest.removeprefix("//") if kind == "file" else rest)
        case _:
            raise _invalid(f"no catalog is read from '{kind}:'; use a file, `sqlite:FILE` or PostgreSQL")


async def _on_server(secret: Secret, call: Call, allow_private: bool) -> Catalog:
    said: dict[str, Any] = conninfo_to_dict(
        await reached(secret, None, allow_private=allow_private, hosts=call.hosts)
    )
    password = str(said.pop("password", "") or "")
    limit = _CONNECT_SECONDS if call.timeout is None else min(_CONNECT_SECONDS, math.ceil(call.timeout))
    said["connect_timeout"] = min(int(said["connect_timeout"]), limit)
    return Catalog(path=f"postgres:{make_conninfo(**said)}", extension="postgres_scanner", password=password)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _invalid(why: str) -> ToolError:
    return ToolError(f"the ducklake task: {why}", kind="validation")
