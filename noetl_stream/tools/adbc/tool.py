"""The adbc and snowflake tools: SQL on whatever has an ADBC driver. One session serves all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias, assert_never

from pydantic import BaseModel

from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.adbc.config import AdbcConfig
from noetl_stream.tools.adbc.threads import DriverThreads
from noetl_stream.tools.connecting import own_credential
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.sql_config import StatementsConfig, sql_text

if TYPE_CHECKING:
    from noetl_stream.tools.adbc.drivers import Route

Driver: TypeAlias = Literal["flightsql", "postgresql", "snowflake"]
MOST_BYTES: Final = 1024**3
_CONNECTING: Final = 10.0
"""Seconds that a server has to answer the first requests, unless its task has less."""


class Adbc:
    """`kind: adbc`."""

    kind: ClassVar[str] = "adbc"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = AdbcConfig

    def __init__(
        self, scripts: Scripts, *, allow_private: bool = False, threads: int = 4, most_bytes: int = MOST_BYTES
    ) -> None:
        """`threads` bounds the tasks at once; `most_bytes` one result set, which a worker holds in memory."""
        self._scripts, self._allow_private, self._most = scripts, allow_private, most_bytes
        self._threads = DriverThreads(self.kind, threads)

    async def close(self) -> None:
        """Each task has closed its connection, or left it to its thread."""

    async def run(self, call: Call) -> Done:
        # The driver manager and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.adbc.reach import reached
        from noetl_stream.tools.adbc.session import AdbcSession

        secret = own_credential(call, self.kind)
        seconds = min(_CONNECTING, call.timeout or _CONNECTING)
        route = _route(self._driver(call.config), secret, seconds)
        route = await reached(route, secret, call.hosts, allow_private=self._allow_private)
        text = await sql_text(call.config, self._scripts, call)
        session = AdbcSession(route, secret, call.config, call.input, self._most)
        return Done(value=await self._threads.run(session, text, call.timeout))

    def _driver(self, config: StatementsConfig) -> Driver:
        assert isinstance(config, AdbcConfig)
        return config.driver


class Snowflake(Adbc):
    """`kind: snowflake`."""

    kind: ClassVar[str] = "snowflake"
    config: ClassVar[type[BaseModel]] = StatementsConfig

    def _driver(self, config: StatementsConfig) -> Driver:
        return "snowflake"


def _route(driver: Driver, secret: Secret, seconds: float) -> Route:
    from noetl_stream.tools.adbc.drivers import to_flightsql, to_postgresql, to_snowflake

    match driver:
        case "flightsql":
            return to_flightsql(secret, seconds)
        case "postgresql":
            return to_postgresql(secret, seconds)
        case "snowflake":
            return to_snowflake(secret, seconds)
        case never:
            assert_never(never)
