"""Connections to PostgreSQL: so many at once to one address, and those that are done wait a while for the next task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from noetl_stream.errors import ToolError
from noetl_stream.tools.postgres.config import PoolConfig
from noetl_stream.tools.postgres.failing import connecting_failed

IDLE_SECONDS: Final = 60.0


class Pools:
    """One pool for each address and its bounds."""

    def __init__(self, idle: float = IDLE_SECONDS) -> None:
        """`idle`: seconds after which a connection that nobody takes is closed."""
        self._idle = idle
        self._pools: dict[tuple[str, PoolConfig], Pool] = {}

    @asynccontextmanager
    async def connection(
        self, address: str, bounds: PoolConfig, settings: Sequence[str]
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection for the block, on which `settings` were run. It goes back if the block ends well, else it is closed.

        Raises:
            ToolError: none can be had.
        """
        self._pools = {key: pool for key, pool in self._pools.items() if not pool.vacant}
        pool = self._pools.setdefault((address, bounds), Pool(address, bounds, self._idle))
        async with pool.connection(";".join(settings)) as connection:
            yield connection

    async def close(self) -> None:
        """Close all that wait."""
        for pool in self._pools.values():
            await pool.close()


class Pool:
    """The connections to one address."""

    def __init__(self, address: str, bounds: PoolConfig, idle: float) -> None:
        self._address, self._bounds, self._idle_seconds = address, bounds, idle
        self._room = asyncio.Semaphore(bounds.max_size)
        self._asked = self._waiting = 0
        self._idle: list[tuple[psycopg.AsyncConnection, asyncio.TimerHandle]] = []

    @property
    def vacant(self) -> bool:
        """Whether it has no connection, and nobody asks for one: its password may have been changed since."""
        return not (self._asked or self._idle)

    @asynccontextmanager
    async def connection(self, settings: str) -> AsyncIterator[psycopg.AsyncConnection]:
        self._asked += 1
        try:
            async with self._turn():
                connection = await self._taken(settings)
                try:
                    yield connection
                    await self._given_back(connection)
                except BaseException:
                    await connection.close()
                    raise
        finally:
            self._asked -= 1

    async def close(self) -> None:
        while self._idle:
            connection, timer = self._idle.pop()
            timer.cancel()
            await connection.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        bounds = self._bounds
        if self._room.locked() and bounds.max_waiting and self._waiting >= bounds.max_waiting:
            raise _exhausted(f"{self._waiting} tasks wait for one already (`pool.max_waiting`)")
        self._waiting += 1
        try:
            async with asyncio.timeout(bounds.timeout):
                await self._room.acquire()
        except TimeoutError:
            raise _exhausted(f"none was free within {bounds.timeout:g} s (`pool.timeout`)") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._room.release()

    async def _taken(self, settings: str) -> psycopg.AsyncConnection:
        """One that waits, if it still lives; else a new one."""
        while self._idle:
            connection, timer = self._idle.pop()
            timer.cancel()
            with suppress(psycopg.Error):
                return await _prepared(connection, settings)
        try:
            # DISCARD ALL takes prepared statements too, which the driver would not know.
            new = await psycopg.AsyncConnection.connect(
                self._address, autocommit=True, prepare_threshold=None
            )
            return await _prepared(new, settings)
        except psycopg.Error as error:
            raise connecting_failed(error) from None  # what it stands on holds the password

    async def _given_back(self, connection: psycopg.AsyncConnection) -> None:
        """Nothing of the task stays: neither settings, nor temporary tables, nor locks."""
        if connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.close()
            return
        await connection.execute("DISCARD ALL")
        timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire, connection)
        self._idle.append((connection, timer))

    def _expire(self, connection: psycopg.AsyncConnection) -> None:
        self._idle = [(each, timer) for each, timer in self._idle if each is not connection]
        connection.pgconn.finish()


async def _prepared(connection: psycopg.AsyncConnection, settings: str) -> psycopg.AsyncConnection:
    try:
        await connection.execute(settings.encode())
    except BaseException:
        await connection.close()
        raise
    return connection


def _exhausted(why: str) -> ToolError:
    return ToolError(
        f"no connection: {why}; raise the bound, or run fewer such tasks at once",
        kind="connection",
        code="pool_exhausted",
        retryable=True,
    )
