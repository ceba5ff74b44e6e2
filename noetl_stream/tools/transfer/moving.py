"""One transfer: batches are read ahead in a thread of their own, fitted, and taken by the target, never more than a few at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import Any, Final

import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.columns import fitted, mapped
from noetl_stream.tools.transfer.config import TransferConfig
from noetl_stream.tools.transfer.ends import Source, Target
from noetl_stream.tools.transfer.once import Happened

AHEAD: Final = 2
"""Batches that are read before the target asks for them."""
_TELL_SECONDS: Final = 10.0
_LOOK_AGAIN: Final = 0.1

log = logging.getLogger(__name__)


class Move:
    """From one source to one target, in one thread; the event loop only stops it."""

    def __init__(self, config: TransferConfig, source: Source, target: Target) -> None:
        self._config, self._source, self._target = config, source, target
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._rows = self._bytes = self._batches = 0

    def run(self, text: str) -> dict[str, Any]:
        """Move all rows. `text` is nothing here: what an SQL task would run."""
        self._began = time.monotonic()
        with closing(self._source), closing(self._target):
            schema = self._source.open()
            try:
                wanted = self._target.open(mapped(schema, self._config.mapping))
            except Happened as before:
                return before.result
            self._check_stop()
            self._write(wanted)
        return self._summary()

    def _summary(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "bytes": self._bytes,
            "batches": self._batches,
            "source": self._source.said,
            "target": self._target.said,
            "seconds": round(time.monotonic() - self._began, 3),
        }

    def stop(self) -> None:
        self._stop.set()
        self._source.stop()
        self._target.stop()

    def _write(self, wanted: pa.Schema) -> None:
        with closing(Ahead(self._source.batches(self._config.chunk_size), self._stop)) as ahead:
            flow = self._flow(ahead, wanted)
            try:
                self._target.write(pa.RecordBatchReader.from_batches(wanted, flow), self._summary)
            except BaseException:
                # What went wrong in the source comes out of the target's own library in other words.
                if self._fault is not None:
                    raise self._fault from None
                raise

    def _flow(self, ahead: Ahead, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        mapping = self._config.mapping
        sources = [mapping.get(name, name) for name in wanted.names]
        tell = time.monotonic() + _TELL_SECONDS
        try:
            for batch in ahead:
                self._check_stop()
                ready = fitted(batch, sources, wanted, self._rows)
                self._rows += ready.num_rows
                self._bytes += ready.nbytes
                self._batches += 1
                if time.monotonic() >= tell:
                    tell += _TELL_SECONDS
                    log.info("%s to %s: %d rows", self._source.said, self._target.said, self._rows)
                yield ready
        except BaseException as fault:
            self._fault = fault
            raise

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise ToolError("the transfer was stopped", kind="cancelled")


class Ahead:
    """An iterator that is advanced in a thread of its own. What it raises is raised here."""

    def __init__(self, batches: Iterator[pa.RecordBatch], stop: threading.Event) -> None:
        self._queue: Queue[pa.RecordBatch | BaseException | None] = Queue(AHEAD)
        self._stop, self._left = stop, threading.Event()
        self._thread = threading.Thread(target=self._read, args=(batches,), name="transfer-ahead")
        self._thread.start()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (found := self._queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def close(self) -> None:
        """Return once the thread has left."""
        self._left.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()

    def _read(self, batches: Iterator[pa.RecordBatch]) -> None:
        try:
            for batch in batches:
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as fault:
            self._put(fault)

    def _put(self, found: pa.RecordBatch | BaseException | None) -> bool:
        while not self._left.is_set():
            with suppress(Full):
                self._queue.put(found, timeout=_LOOK_AGAIN)
                return True
        return False
