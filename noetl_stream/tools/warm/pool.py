"""A few warm python processes that tools share: a call takes one, and gives it back or loses it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.processes import how_ended
from noetl_stream.tools.running_time import running_time
from noetl_stream.tools.warm.framing import dumps, restore
from noetl_stream.tools.warm.process import Child, ChildEnded, Limits

log = logging.getLogger(__name__)

_UNBOUNDED = Limits()

Frames = Literal["rows", "list", "polars", "arrow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a child is asked. `frames` is what tables in `input` and `context` arrive as; `more` is the operation's own."""

    operation: Literal["python", "polars"]
    input: Mapping[str, Value]
    context: Mapping[str, Value]
    more: Mapping[str, Value]
    frames: Frames | Literal["mapped"] = "rows"


class WarmPool:
    """At most `size` children, started when first needed and kept. One event loop owns a pool."""

    def __init__(
        self,
        *,
        size: int = 2,
        limits: Limits = _UNBOUNDED,
        environment: Mapping[str, str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._free = asyncio.Semaphore(size)
        self._limits, self._environment = limits, environment or {}
        self._given_scratch = scratch
        self._own_scratch: Path | None = None
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._numbers = itertools.count()

    async def run(self, work: Work, timeout: float | None) -> Any:
        """The value, in which tables are `pyarrow.Table`s mapped from the child's files.

        Raises:
            ToolError: the code failed, died or ran longer than `timeout` seconds (waiting for a free child included).
        """
        folder = self._scratch / f"call-{next(self._numbers)}"
        try:
            async with running_time(work.operation, timeout):
                return await self._run(work, folder)
        finally:
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)

    async def warm(self) -> None:
        """Start a first child before it is needed."""
        async with self._free:
            self._idle.append(await self._start())

    async def close(self) -> None:
        """End every child, busy or not."""
        children = [*self._idle, *self._busy]
        for child in children:
            child.kill()
        await asyncio.gather(*(child.gone() for child in children))
        self._idle.clear()
        if self._own_scratch is not None:
            shutil.rmtree(self._own_scratch, ignore_errors=True)
            self._own_scratch = None

    @property
    def pids(self) -> frozenset[int]:
        """The children that live."""
        return frozenset(child.pid for child in (*self._idle, *self._busy) if child.alive)

    @property
    def _scratch(self) -> Path:
        if self._given_scratch is not None:
            return self._given_scratch
        if self._own_scratch is None:
            self._own_scratch = Path(tempfile.mkdtemp(prefix="noetl-"))
        return self._own_scratch

    async def _run(self, work: Work, folder: Path) -> Any:
        request = await _encode(work, folder)
        async with self._free:
            answer = orjson.loads(await self._exchange(request, work.operation))
        if answer["printed"]:
            log.info("%s task printed: %s", work.operation, answer["printed"])
        if "error" in answer:
            raise _failed(**answer["error"])
        return restore(answer["value"], _opened(folder, answer["tables"]))

    async def _exchange(self, request: bytes, operation: str) -> bytes:
        child = await self._take()
        self._busy.add(child)
        kept = False
        try:
            answer = await child.exchange(request)
            kept = child.calls < self._limits.calls
            return answer
        except ChildEnded as end:
            raise _died(operation, end.status) from None
        finally:
            self._busy.discard(child)
            if kept:
                self._idle.append(child)
            else:
                child.kill()
                await child.gone()

    async def _take(self) -> Child:
        while self._idle:
            if (child := self._idle.pop()).alive:
                return child
            await child.gone()
        return await self._start()

    async def _start(self) -> Child:
        return await Child.start(self._scratch, self._limits, self._environment)


def _opened(folder: Path, count: int) -> list[Any]:
    """The tables a child answered with. Arrow is loaded for the first of them, not to know what tools there are."""
    if not count:
        return []
    from noetl_stream.cache.tables import open_table

    return [open_table(folder / f"{number}.arrow") for number in range(count)]


async def _encode(work: Work, folder: Path) -> bytes:
    found: list[Any] = []

    def table(item: Any) -> int | None:
        if not (hasattr(item, "arrow") or hasattr(item, "__arrow_c_stream__") or hasattr(item, "sink_ipc")):
            return None
        found.append(item)
        return len(found) - 1

    texts = [orjson.Fragment(dumps(part, table)) for part in (work.input, work.context)]
    paths = [str(await _file(item, folder / f"in-{number}.arrow")) for number, item in enumerate(found)]
    head = {"operation": work.operation, "frames": work.frames, "tables": paths, "folder": str(folder)}
    return orjson.dumps({**work.more, **head, "input": texts[0], "context": texts[1]})


async def _file(item: Any, path: Path) -> Path:
    """Where a frame's bytes stand already, or a table's are written now."""
    if hasattr(item, "path"):
        return Path(item.path())
    import pyarrow as pa

    from noetl_stream.cache.tables import write_table

    table = pa.table(item.collect() if hasattr(item, "collect") else item)
    path.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(write_table, path, table)
    return path


def _failed(*, type: str, message: str, line: int | None, trace: str) -> ToolError:
    place = f" (line {line} of the code)" if line else ""
    first, *more = message.splitlines() or [""]
    told = f": {first}{' …' if more else ''}" if message else ""
    said = f"{type}{told}{place}"
    return ToolError(said, kind="python", code=type, trace=trace, line=line)


def _died(operation: str, status: int) -> ToolError:
    return ToolError(
        f"the process of the {operation} task ended before it answered ({how_ended(status)}); "
        "look for memory it ran out of, or code that ends its process",
        kind="python",
        code="died",
    )
