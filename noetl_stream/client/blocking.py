"""The same client for code without an event loop: its loop runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from noetl_stream.client.connection import AsyncClient, AsyncExecution, Outcome
from noetl_stream.client.jobs import NO_OPTIONS, Options
from noetl_stream.core.values import Value
from noetl_stream.replay.telling import Told

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class Client(AbstractContextManager["Client"]):
    """Use as `with Client("kafka:9092") as client`, from any threads. Takes and raises what `AsyncClient` does."""

    def __init__(self, bootstrap: str | None = None, **settings: object) -> None:
        self._client = AsyncClient(bootstrap, **settings)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def submit(
        self,
        playbook: str,
        payload: Mapping[str, Value] | None = None,
        *,
        key: str | None = None,
        version: int | None = None,
        options: Options = NO_OPTIONS,
    ) -> Execution:
        """See `AsyncClient.submit`."""
        asked = partial(self._client.submit, playbook, payload, key=key, version=version, options=options)
        return Execution(self._portal, self._portal.call(asked))

    def execution(self, id: int | str) -> Execution:
        """One that was asked for before, by whomever."""
        return Execution(self._portal, self._client.execution(id))


class Execution:
    """One execution; each method waits for what `AsyncExecution`'s of that name gives."""

    def __init__(self, portal: BlockingPortal, execution: AsyncExecution) -> None:
        self._portal, self._execution = portal, execution

    @property
    def id(self) -> int:
        return self._execution.id

    def wait(self, timeout: float | None = None) -> Outcome:
        return self._portal.call(self._execution.wait, timeout)

    def events(self) -> Iterator[Told]:
        events = self._execution.events()
        try:
            while (told := self._portal.call(anext, events, None)) is not None:
                yield told
        finally:
            self._portal.call(events.aclose)

    def result(self, step: str | None = None, *, timeout: float | None = None) -> Any:
        return self._portal.call(partial(self._execution.result, step, timeout=timeout))

    def arrow(self, step: str, *, timeout: float | None = None) -> pa.Table:
        return self._portal.call(partial(self._execution.arrow, step, timeout=timeout))

    def polars(self, step: str, *, timeout: float | None = None) -> pl.DataFrame:
        return self._portal.call(partial(self._execution.polars, step, timeout=timeout))

    def cancel(self, reason: str = "asked by a client") -> None:
        self._portal.call(self._execution.cancel, reason)
