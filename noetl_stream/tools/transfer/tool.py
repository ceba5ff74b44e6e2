"""The transfer tool: rows from one place to another, a batch at a time, with their types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from noetl_stream.ports.brokers import Brokers
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.running_time import running_time
from noetl_stream.tools.task_threads import TaskThreads
from noetl_stream.tools.transfer.config import TransferConfig
from noetl_stream.tools.transfer.opening import Opening


class Transfer:
    """`kind: transfer`."""

    kind: ClassVar[str] = "transfer"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = TransferConfig

    def __init__(
        self,
        *,
        threads: int = 4,
        duckdb_settings: Mapping[str, str] | None = None,
        allow_private: bool = False,
        files: Path | None = None,
        brokers: Brokers | None = None,
        kafka: Reach | None = None,
    ) -> None:
        """`threads` bounds the transfers at once; `duckdb_settings` are those of every duckdb in this process.

        `allow_private` lets a document name private hosts; `files` is the only folder whose files are reached, if there is one.
        """
        self._threads = TaskThreads(self.kind, threads)
        self._opening = Opening(
            duckdb_settings=duckdb_settings or {},
            allow_private=allow_private,
            files=files,
            brokers=brokers,
            kafka=kafka or Reach(),
        )

    async def run(self, call: Call) -> Done:
        # Arrow and the ends' own libraries are loaded by the first task, not to know what tools there are.
        from noetl_stream.tools.transfer.frames import FrameTarget
        from noetl_stream.tools.transfer.moving import Move

        async with running_time(self.kind, call.timeout):
            target = await self._opening.target(call)
            source = await self._opening.source(call)
        move = Move(call.config, source, target)
        moved = await self._threads.run(move, "", call.timeout)
        if isinstance(target, FrameTarget):
            moved["frame"] = target.table
        return Done(value=moved)

    async def close(self) -> None:
        self._threads.close()
