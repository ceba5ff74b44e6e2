"""Which connections there are, how many there may be, and which of them have stood still for too long."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from noetl_stream.broker.api import Api
from noetl_stream.broker.settings import BrokerSettings

logger = logging.getLogger(__name__)

IDLE = "idle"
"""What a connection waits for between two requests."""

_SWEEP_SECONDS = 0.5
_REFUSALS_TOLD_SECONDS = 10.0
_SLOWEST = 1 << 20
"""Bytes a second below which a transfer counts as standing still, beyond its time-out."""


@dataclass(slots=True, eq=False, kw_only=True)
class OpenConnection:
    """One client's connection and until when it must have moved on. `abort` drops it with what it still holds."""

    host: str
    port: int
    abort: Callable[[], None]
    deadline: float = math.inf
    waits_for: str = ""
    overdue: str = field(default="", init=False)
    asked: tuple[Api, int] | None = field(default=None, init=False)
    """The last request and its version."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connections:
    """All connections of a broker. Lives on one event loop; whoever opens one also says when it is closed."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._open: set[OpenConnection] = set()
        self._by_host: Counter[str] = Counter()
        self._now = asyncio.get_running_loop().time
        self._told_at, self._untold = -math.inf, 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._open)

    def admits(self, host: str) -> bool:
        """Whether one more from `host` may come. If not, it is counted, and the log says so now and then."""
        if len(self._open) >= self._settings.max_connections:
            self._refuse(
                host, f"all {self._settings.max_connections} connections are taken (max_connections)"
            )
        elif self._by_host[host] >= (most := self._settings.max_connections_per_address or math.inf):
            self._refuse(host, f"this address has {most} of them (max_connections_per_address)")
        else:
            return True
        return False

    def add(self, connection: OpenConnection) -> None:
        self._open.add(connection)
        self._by_host[connection.host] += 1

    def remove(self, connection: OpenConnection) -> None:
        self._open.discard(connection)
        self._by_host[connection.host] -= 1
        if not self._by_host[connection.host]:
            del self._by_host[connection.host]

    def abort(self) -> None:
        """Drop all that are left."""
        for connection in self._open:
            connection.abort()

    def await_request(self, connection: OpenConnection) -> None:
        """The client has the word."""
        connection.waits_for = IDLE
        connection.deadline = self._now() + self._settings.connections_max_idle

    def await_transfer(self, connection: OpenConnection, size: int, what: str) -> None:
        """So many bytes are on their way, in either direction."""
        connection.waits_for = what
        connection.deadline = self._now() + self._settings.transfer_timeout + size / _SLOWEST

    def await_nothing(self, connection: OpenConnection) -> None:
        """The broker has the word."""
        connection.deadline = math.inf

    async def watch(self) -> None:
        """Drop whatever is overdue, for ever. One look at all costs less than a timer for each request."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for connection in tuple(self._late()):
                connection.overdue = connection.waits_for
                connection.abort()

    def _late(self) -> Iterator[OpenConnection]:
        now = self._now()
        return (connection for connection in self._open if connection.deadline < now)

    def _refuse(self, host: str, reason: str) -> None:
        self.refused += 1
        self._untold += 1
        if self._now() - self._told_at >= _REFUSALS_TOLD_SECONDS:
            logger.warning(
                "refused a connection from %s: %s; %d refused since this was last said",
                host,
                reason,
                self._untold,
            )
            self._told_at, self._untold = self._now(), 0
