"""A service's connection to an installation: ask for executions, follow them through the log, fetch what they left."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from noetl_stream.client.installation import Installation, connected
from noetl_stream.client.jobs import NO_OPTIONS, Job, Options, ask, ended, follow
from noetl_stream.client.results import fetched, table_in
from noetl_stream.core.events import ExecutionEnded
from noetl_stream.core.report import Story
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import ExecutionFailed, InvalidRequest
from noetl_stream.ports.frames import Cache
from noetl_stream.replay.telling import Told, tell
from noetl_stream.settings import settings_from_environment
from noetl_stream.wiring import cache_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_BY_REQUEST: Final = "asked by a client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an execution ended: COMPLETED, FAILED or CANCELLED. `seconds` from its request to its end."""

    execution: int
    status: str
    error: Error | None
    seconds: float


class AsyncClient:
    """Use as `async with AsyncClient("kafka:9092") as client`. One is enough for a process.

    Args:
        bootstrap: brokers as HOST:PORT, comma-separated.
        settings: any other field of `Settings` (docs/settings.md); what is not given comes from `NOETL_STREAM_*`.

    Raises, on entering:
        InvalidRequest: there is no installation at these brokers.
        InfrastructureError: they do not answer.
    """

    def __init__(self, bootstrap: str | None = None, **settings: object) -> None:
        self._settings = settings_from_environment(bootstrap=bootstrap, **settings)
        self._stack = AsyncExitStack()
        self._cache: Cache | None = None

    async def __aenter__(self) -> Self:
        if not self._settings.bootstrap:
            raise InvalidRequest(
                "a client needs brokers; name them: Client('HOST:PORT'), or NOETL_STREAM_BOOTSTRAP"
            )
        self._installation = await self._stack.enter_async_context(connected(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def submit(
        self,
        playbook: str,
        payload: Mapping[str, Value] | None = None,
        *,
        key: str | None = None,
        version: int | None = None,
        options: Options = NO_OPTIONS,
    ) -> AsyncExecution:
        """Ask for an execution of a registered playbook. Returns once the request is durable.

        Args:
            playbook: its path in the catalog.
            key: the same key again is the same execution, whatever its payload; drawn if there is none.
            version: the newest one, if none is named.
        """
        job = Job(
            path=playbook,
            payload=payload or {},
            key=key or uuid.uuid4().hex,
            version=version,
            tenant=self._settings.tenant,
            options=options,
        )
        installation = self._installation
        letters = await installation.reader.end(installation.topics.dead_letters.name, 0)
        await ask(installation.log, installation.topics, job)
        return AsyncExecution(self, installation, job.execution, asked=(job, letters))

    def execution(self, id: int | str) -> AsyncExecution:
        """One that was asked for before, by whomever."""
        return AsyncExecution(self, self._installation, int(id))

    async def cache(self) -> Cache:
        """The shared cache, opened when it is first read."""
        if self._cache is None:
            cache = await cache_of(self._settings)
            self._stack.push_async_callback(cache.close)
            self._cache = cache
        return self._cache


class AsyncExecution:
    """One execution, by its `id`."""

    def __init__(
        self, client: AsyncClient, installation: Installation, id: int, asked: tuple[Job, int] | None = None
    ) -> None:
        self.id: Final = id
        self._client, self._installation, self._asked = client, installation, asked
        self._ended: Story | None = None

    async def wait(self, timeout: float | None = None) -> Outcome:
        """Follow the log until it has ended, however it ends. `timeout` is in seconds.

        Raises:
            InvalidRequest: intake refused the request, and says why.
            InfrastructureError: it has not ended by then.
        """
        story = await self._story(timeout)
        assert story.end is not None
        assert story.started_at is not None
        assert story.finished_at is not None
        return Outcome(
            execution=self.id,
            status=story.end.status,
            error=story.end.error,
            seconds=story.finished_at - story.started_at,
        )

    async def events(self) -> AsyncGenerator[Told, None]:
        """Every record of it, each with the fold's verdict, from its request on until it has ended."""
        installation = self._installation
        async with aclosing(tell(installation.reader, installation.topics, self.id)) as telling:
            async for told in telling:
                yield told
                if told.folded.verdict == "accepted" and _ends(told):
                    return

    async def result(self, step: str | None = None, *, timeout: float | None = None) -> Any:
        """What a step left, or all steps by name; tables as `pyarrow.Table`. Waits for the end.

        Raises:
            ExecutionFailed: it did not complete.
            InvalidRequest: no such step ended in it.
        """
        results = await self._results(timeout)
        if step is not None and step not in results:
            raise InvalidRequest(
                f"step '{step}' left nothing in execution {self.id}; these did: {', '.join(results) or 'none'}"
            )
        cache = await self._client.cache()
        return await fetched(cache, dict(results) if step is None else results[step])

    async def arrow(self, step: str, *, timeout: float | None = None) -> pa.Table:
        """The table that a step left. Raises as `result` does, and InvalidRequest if it is none."""
        return table_in(await self.result(step, timeout=timeout), step)

    async def polars(self, step: str, *, timeout: float | None = None) -> pl.DataFrame:
        """The same as a DataFrame, without a copy."""
        import polars as pl

        found = pl.from_arrow(await self.arrow(step, timeout=timeout))
        assert isinstance(found, pl.DataFrame)  # what a table becomes
        return found

    async def cancel(self, reason: str = _BY_REQUEST) -> None:
        """Append the wish to stop."""
        await self._installation.cancel(self.id, reason)

    async def _results(self, timeout: float | None) -> Mapping[str, Value]:
        story = await self._story(timeout)
        assert story.end is not None
        assert story.machine is not None
        if story.end.status != "COMPLETED":
            raise _failed(self.id, story.end)
        return story.machine.results

    async def _story(self, timeout: float | None) -> Story:
        if self._ended is None:
            self._ended = await self._followed(timeout)
        return self._ended

    async def _followed(self, timeout: float | None) -> Story:
        reader, topics = self._installation.reader, self._installation.topics
        if self._asked is None:
            return await follow(reader, topics, self.id, timeout=timeout, watch=_ignore)
        job, letters = self._asked
        return await ended(reader, topics, job, letters, timeout=timeout, watch=_ignore)


def _failed(execution: int, end: ExecutionEnded) -> ExecutionFailed:
    if end.error is None:
        return ExecutionFailed(execution, end.status, kind=None, reason=None)
    return ExecutionFailed(execution, end.status, kind=end.error.kind, reason=end.error.message)


def _ends(told: Told) -> bool:
    return any(isinstance(move, ExecutionEnded) for move in told.folded.moves)


def _ignore(_: Told) -> None:
    """Nobody watches."""
