"""Where a topic's logs lie on disk: `logs/<topic>-<id>/<partition>/<base offset>.log`."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path

from noetl_stream.commitlog.append_file import sync_directory
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.segment import SegmentLimits, log_paths
from noetl_stream.commitlog.storage import Storage
from noetl_stream.errors import InfrastructureError

_NAME_KEPT = 200  # a file system takes 255 bytes, a topic's name may have 249


class TopicFiles:
    """The folder of all logs. Directories are named so that a topic created again never meets its old files."""

    def __init__(self, logs: Path, storage: Storage) -> None:
        self._logs, self._storage = logs, storage

    def new_directory(self, topic: str) -> str:
        return f"{topic[:_NAME_KEPT]}-{uuid.uuid4().hex[:12]}"

    def create(self, directory: str, indexes: Iterable[int], limits: SegmentLimits) -> list[Partition]:
        """Make empty logs, their names durable.

        Raises:
            OSError: the disk has no room for them; none is left.
        """
        made = list[Partition]()
        try:
            for index in indexes:
                path = self._logs / directory / str(index)
                path.mkdir(parents=True, exist_ok=True)
                made.append(open_partition(path, self._storage, limits=limits))
                sync_directory(path)
            sync_directory(self._logs / directory)
            sync_directory(self._logs)
        except OSError:
            self.discard(directory, indexes, made)
            raise
        return made

    def discard(self, directory: str, indexes: Iterable[int], made: Iterable[Partition]) -> None:
        """Take back logs that nobody knows yet, and the topic's folder if they were all it had."""
        for partition in made:
            partition.close()
        path = self._logs / directory
        for index in indexes:
            shutil.rmtree(path / str(index), ignore_errors=True)
        with suppress(OSError):
            path.rmdir()

    def open(
        self,
        directory: str,
        index: int,
        limits: SegmentLimits,
        *,
        compacted: bool,
        start_offset: int,
        synced_position: int,
    ) -> Partition:
        """Recover one log.

        Raises:
            InfrastructureError: it is damaged, or not there.
        """
        path = self._logs / directory / str(index)
        if not log_paths(path) and not any(path.glob("*.swap")):
            raise InfrastructureError(f"{path} holds no log; restore it from a copy of the data directory")
        return open_partition(
            path,
            self._storage,
            limits=limits,
            compacted=compacted,
            start_offset=start_offset,
            synced_position=synced_position,
        )

    def remove(self, directory: str) -> None:
        """Delete a topic's logs, if they are there."""
        path = self._logs / directory
        if path.exists():
            shutil.rmtree(path)

    def remove_unfinished(self, known: Set[str]) -> None:
        """A creation cut short left empty files that nobody knows.

        Raises:
            InfrastructureError: there are records that nobody knows.
        """
        for directory in self._logs.iterdir():
            if directory.name in known:
                continue
            if any(file.stat().st_size for file in directory.rglob("*.log")):
                raise InfrastructureError(
                    f"{directory} holds records of a topic that the journal does not know; "
                    "restore the journal from a copy, or move the directory away to give them up"
                )
            shutil.rmtree(directory)
