"""The adbc tool: SQL on whatever has an ADBC driver. One session serves all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, assert_never

from pydantic import BaseModel

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.adbc.config import AdbcConfig
from noetl_stream.tools.connecting import own_credential
from noetl_stream.tools.script import FetchText
from noetl_stream.tools.sql_config import sql_text
from noetl_stream.tools.sql_threads import SqlThreads

if TYPE_CHECKING:
    from noetl_stream.tools.adbc.drivers import Route

MOST_BYTES = 1024**3


class Adbc:
    """`kind: adbc`."""

    kind: ClassVar[str] = "adbc"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = AdbcConfig

    def __init__(
        self, fetch: FetchText, *, allow_private: bool = False, threads: int = 4, most_bytes: int = MOST_BYTES
    ) -> None:
        """`threads` bounds the tasks at once; `most_bytes` one result set, which a worker holds in memory."""
        self._fetch, self._allow_private, self._most = fetch, allow_private, most_bytes
        self._threads = SqlThreads(self.kind, threads)

    async def close(self) -> None:
        self._threads.close()

    async def run(self, call: Call) -> Done:
        # The driver manager and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.adbc.session import AdbcSession

        secret = own_credential(call, self.kind)
        self._check_reach(secret)
        route = _route(call.config, secret)
        text = await sql_text(call.config, self._fetch, call.hosts)
        session = AdbcSession(route, secret, call.config, call.input, self._most)
        return Done(value=await self._threads.run(session, text, call.timeout))

    def _check_reach(self, secret: Secret) -> None:
        """A driver resolves names by itself, behind any guard: an address is the operator's, or private ones are open."""
        if not (secret.operators or self._allow_private):
            raise ToolError(
                f"credential '{secret.alias}' has an address that the document's author chose; keep it in the keychain",
                kind="client_error",
                code="refused_address",
            )


def _route(config: AdbcConfig, secret: Secret) -> Route:
    from noetl_stream.tools.adbc.drivers import to_flightsql, to_postgresql, to_snowflake

    match config.driver:
        case "flightsql":
            return to_flightsql(secret)
        case "postgresql":
            return to_postgresql(secret)
        case "snowflake":
            return to_snowflake(secret)
        case never:
            assert_never(never)
