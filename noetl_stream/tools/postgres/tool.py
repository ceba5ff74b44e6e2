"""The postgres tool: SQL on a server that the task's credential names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from noetl_stream.core.values import Value
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.connecting import own_credential
from noetl_stream.tools.postgres.config import PostgresConfig
from noetl_stream.tools.running_time import running_time
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.sql_config import sql_text
from noetl_stream.tools.sql_text import numbered, statements

if TYPE_CHECKING:
    from noetl_stream.tools.postgres.pool import Pools
    from noetl_stream.tools.postgres.session import Bound

MOST_BYTES = 1024**3
_GRACE_MS = 5000


class Postgres:
    """`kind: postgres`."""

    kind: ClassVar[str] = "postgres"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = PostgresConfig

    def __init__(
        self, scripts: Scripts, *, most_bytes: int = MOST_BYTES, allow_private: bool = False
    ) -> None:
        """`most_bytes` bounds one result set, which a worker holds in memory. `allow_private` lets a document name a private host."""
        self._scripts, self._most, self._allow_private = scripts, most_bytes, allow_private
        self._pools: Pools | None = None

    async def run(self, call: Call) -> Done:
        async with running_time(self.kind, call.timeout):
            return await self._run(call)

    async def close(self) -> None:
        if self._pools is not None:
            await self._pools.close()

    async def _run(self, call: Call) -> Done:
        # The driver and Arrow are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.postgres.inputs import load_inputs
        from noetl_stream.tools.postgres.pool import Pools
        from noetl_stream.tools.postgres.reaching import reached
        from noetl_stream.tools.postgres.session import Session
        from noetl_stream.tools.sql import sql_result

        config: PostgresConfig = call.config
        address = await reached(
            own_credential(call, self.kind),
            config.database,
            allow_private=self._allow_private,
            hosts=call.hosts,
        )
        text = await sql_text(config, self._scripts, call)
        bound = bound_statements(text, config.params)
        self._pools = self._pools or Pools()
        async with self._pools.connection(address, config.pool, _settings(call)) as connection:
            await load_inputs(connection, call.input, text)
            session = Session(connection, self._most)
            if call.once:
                done = await session.run_once(bound, call.effect_key)
            else:
                done = await session.run_all(bound, transaction=config.transaction)
        return Done(value=sql_result(done))


def bound_statements(text: str, params: Mapping[str, Value] | Sequence[Value]) -> list[Bound]:
    """Every statement with its values. `?` is a place where `params` is a list, else an operator.

    Raises:
        ToolError: there is none, or the params do not fit.
    """
    from noetl_stream.tools.postgres.session import Bound
    from noetl_stream.tools.sql import dealt

    marks = bool(params) and not isinstance(params, Mapping)
    found = [numbered(each.text, marks=marks) for each in statements(text)]
    values = dealt(params, [each.places for each in found])
    return [
        Bound(statement=each, values=list(given.values() if isinstance(given, dict) else given or ()))
        for each, given in zip(found, values, strict=True)
    ]


def _settings(call: Call) -> list[str]:
    """What a session says before the task's own: how values are written, and when the server gives up by itself.

    The worker stops a statement when its time is over; the server's own limit is for a worker that is gone by then.
    """
    limit = 0 if call.timeout is None else int(call.timeout * 1000) + _GRACE_MS
    return [
        f"SET statement_timeout = {limit}",
        f"SET application_name = 'noetl-stream {call.execution}'",
        "SET TimeZone = 'UTC'",
        "SET DateStyle = 'ISO'",
        "SET IntervalStyle = 'iso_8601'",
        "SET bytea_output = 'hex'",
        "SET extra_float_digits = 1",
        "SET standard_conforming_strings = on",
    ]
