"""The topics of this broker: which there are, where their files lie, and how they come and go."""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kio.schema.errors import ErrorCode

from noetl_stream.broker.append_file import sync_directory
from noetl_stream.broker.entries import (
    Entry,
    LogSynced,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
)
from noetl_stream.broker.fsync import GroupCommit
from noetl_stream.broker.journal import Journal
from noetl_stream.broker.partition import Partition
from noetl_stream.broker.recovery import open_partition
from noetl_stream.broker.refusal import Refused
from noetl_stream.broker.topic_config import DEFAULTS, MAX_MESSAGE_BYTES, check_configs
from noetl_stream.errors import InfrastructureError

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_FIRST_SEGMENT = f"{0:020}.log"
MAX_PARTITIONS = 1000


@dataclass(slots=True, kw_only=True)
class Topic:
    """A topic. `configs` holds only what was set; `directory` is relative to the broker's logs."""

    name: str
    directory: str
    partition_count: int
    configs: dict[str, str]
    start_offsets: dict[int, int] = field(default_factory=dict)
    synced_positions: dict[int, int] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)

    @property
    def max_message_bytes(self) -> int:
        return int(self.configs.get(MAX_MESSAGE_BYTES, DEFAULTS[MAX_MESSAGE_BYTES]))


class Topics:
    """Every topic by name. Changes are in the journal before they are answered."""

    def __init__(self, logs: Path, commit: GroupCommit, default_partitions: int) -> None:
        self._logs, self._commit, self._default_partitions = logs, commit, default_partitions
        self._topics: dict[str, Topic] = {}
        self._changing = asyncio.Lock()
        self._journal: Journal

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def find(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def topic(self, name: str) -> Topic:
        """Raises Refused for a topic that does not exist."""
        topic = self._topics.get(name)
        if topic is None:
            raise Refused(
                ErrorCode.unknown_topic_or_partition, f"This server does not host the topic '{name}'."
            )
        return topic

    def partition(self, topic: str, index: int) -> Partition:
        """Raises Refused for a partition that does not exist."""
        partitions = self.topic(topic).partitions
        if not 0 <= index < len(partitions):
            raise Refused(
                ErrorCode.unknown_topic_or_partition, f"The topic '{topic}' has no partition {index}."
            )
        return partitions[index]

    # Recovery.

    def apply(self, entry: TopicCreated | TopicChanged | TopicDeleted | RecordsDeleted | LogSynced) -> None:
        """Replay one journal entry. Files are opened by `open`, once all are known."""
        match entry:
            case TopicCreated(name=name, directory=directory, partitions=count, configs=configs):
                self._topics[name] = Topic(
                    name=name, directory=directory, partition_count=count, configs=configs
                )
            case TopicChanged(name=name, partitions=count, configs=configs):
                self._topics[name].partition_count, self._topics[name].configs = count, configs
            case TopicDeleted(name=name, directory=directory):
                del self._topics[name]
                if (self._logs / directory).exists():
                    shutil.rmtree(self._logs / directory)
            case RecordsDeleted(topic=name, partition=index, offset=offset):
                self._topics[name].start_offsets[index] = offset
            case LogSynced(topic=name, partition=index, position=position):
                self._topics[name].synced_positions[index] = position

    def open(self) -> None:
        """Recover every partition.

        Raises:
            InfrastructureError: a log is damaged, or not where the journal says.
        """
        self._remove_unfinished()
        for topic in self:
            directory = self._logs / topic.directory
            if not directory.is_dir():
                raise InfrastructureError(
                    f"{directory} is missing; restore it from a copy of the data directory"
                )
            topic.partitions = [self._open_partition(topic, i) for i in range(topic.partition_count)]

    def entries(self) -> Iterator[Entry]:
        """All that the journal must say about topics."""
        for topic in self:
            yield TopicCreated(
                name=topic.name,
                directory=topic.directory,
                partitions=topic.partition_count,
                configs=topic.configs,
            )
            for index, offset in topic.start_offsets.items():
                yield RecordsDeleted(topic=topic.name, partition=index, offset=offset)
        yield from self.synced()

    def synced(self) -> Iterator[LogSynced]:
        """Up to where each log is durable."""
        for topic in self:
            for index, partition in enumerate(topic.partitions):
                yield LogSynced(topic=topic.name, partition=index, position=partition.synced_position)

    def record_changes_in(self, journal: Journal) -> None:
        self._journal = journal

    def close(self) -> None:
        for topic in self:
            for partition in topic.partitions:
                partition.close()

    # Changes.

    async def create(self, name: str, partitions: int, configs: Mapping[str, str | None]) -> Topic:
        """Create a topic; `partitions` -1 means the broker's default.

        Raises:
            Refused: it exists, or its name, count or configuration is not legal.
        """
        async with self._changing:
            count = self.check_new(name, partitions, configs)
            directory = f"{name[:200]}-{uuid.uuid4().hex[:12]}"
            topic = Topic(
                name=name, directory=directory, partition_count=count, configs=check_configs(configs)
            )
            topic.partitions = await asyncio.to_thread(self._make_partitions, topic, range(count))
            await self._journal.write(
                TopicCreated(name=name, directory=directory, partitions=count, configs=topic.configs)
            )
            self._topics[name] = topic
            return topic

    async def ensure(self, name: str) -> Topic:
        """The topic, created with defaults if it is not there."""
        existing = self._topics.get(name)
        if existing is not None:
            return existing
        try:
            return await self.create(name, -1, {})
        except Refused as refused:
            if refused.code is ErrorCode.topic_already_exists:
                return self._topics[name]
            raise

    def check_new(self, name: str, partitions: int, configs: Mapping[str, str | None]) -> int:
        """The partition count a new topic would get.

        Raises:
            Refused: as `create`.
        """
        if name in (".", "..") or not _LEGAL_NAME.fullmatch(name):
            raise Refused(ErrorCode.invalid_topic_exception, f"The topic name '{name}' is not legal.")
        if name in self._topics:
            raise Refused(ErrorCode.topic_already_exists, f"Topic '{name}' already exists.")
        count = self._default_partitions if partitions == -1 else partitions
        if not 1 <= count <= MAX_PARTITIONS:
            raise Refused(
                ErrorCode.invalid_partitions, f"A topic has 1 to {MAX_PARTITIONS} partitions, not {count}."
            )
        check_configs(configs)
        return count

    async def delete(self, name: str) -> None:
        """Forget a topic and remove its files.

        Raises:
            Refused: there is no such topic.
        """
        async with self._changing:
            topic = self.topic(name)
            # Out of sight first, so that no entry about it can follow the one that says it is gone.
            del self._topics[name]
            try:
                await self._journal.write(TopicDeleted(name=name, directory=topic.directory))
            except OSError:
                self._topics[name] = topic
                raise
            for partition in topic.partitions:
                await partition.durable()
                partition.close()
            await asyncio.to_thread(shutil.rmtree, self._logs / topic.directory)

    async def expand(self, name: str, partitions: int, *, validate_only: bool) -> None:
        """Give a topic more partitions.

        Raises:
            Refused: no such topic, or not more than it has.
        """
        async with self._changing:
            topic = self.topic(name)
            if not topic.partition_count < partitions <= MAX_PARTITIONS:
                raise Refused(
                    ErrorCode.invalid_partitions,
                    f"Topic currently has {topic.partition_count} partitions; {partitions} would not be an increase.",
                )
            if validate_only:
                return
            indexes = range(topic.partition_count, partitions)
            added = await asyncio.to_thread(self._make_partitions, topic, indexes)
            await self._journal.write(TopicChanged(name=name, partitions=partitions, configs=topic.configs))
            topic.partition_count = partitions
            topic.partitions.extend(added)

    async def configure(self, name: str, configs: Mapping[str, str | None]) -> None:
        """Replace a topic's configuration.

        Raises:
            Refused: no such topic, or an illegal setting.
        """
        async with self._changing:
            topic = self.topic(name)
            checked = check_configs(configs)
            await self._journal.write(
                TopicChanged(name=name, partitions=topic.partition_count, configs=checked)
            )
            topic.configs = checked

    async def delete_records(self, name: str, index: int, offset: int) -> int:
        """Delete records before `offset` (-1: before the high watermark); the new start offset.

        Raises:
            Refused: no such partition, or an offset beyond its end.
        """
        async with self._changing:
            partition = self.partition(name, index)
            offset = partition.high_watermark if offset == -1 else offset
            if not 0 <= offset <= partition.high_watermark:
                raise Refused(ErrorCode.offset_out_of_range, f"Offset {offset} is outside the partition.")
            offset = max(offset, partition.start_offset)
            await self._journal.write(RecordsDeleted(topic=name, partition=index, offset=offset))
            self.topic(name).start_offsets[index] = offset
            partition.delete_before(offset)
            return offset

    # Files.

    def _remove_unfinished(self) -> None:
        """A creation cut short left empty files that nobody knows. Records that nobody knows are another matter."""
        known = {topic.directory for topic in self}
        for directory in self._logs.iterdir():
            if directory.name in known:
                continue
            if any(file.stat().st_size for file in directory.rglob("*.log")):
                raise InfrastructureError(
                    f"{directory} holds records of a topic that the journal does not know; "
                    "restore the journal from a copy, or move the directory away to give them up"
                )
            shutil.rmtree(directory)

    def _make_partitions(self, topic: Topic, indexes: range) -> list[Partition]:
        directory = self._logs / topic.directory
        made = []
        for index in indexes:
            (directory / str(index)).mkdir(parents=True, exist_ok=True)
            made.append(self._open_partition(topic, index))
            sync_directory(directory / str(index))
        sync_directory(directory)
        sync_directory(self._logs)
        return made

    def _open_partition(self, topic: Topic, index: int) -> Partition:
        path = self._logs / topic.directory / str(index) / _FIRST_SEGMENT
        return open_partition(
            path,
            self._commit,
            start_offset=topic.start_offsets.get(index, 0),
            synced_position=topic.synced_positions.get(index, 0),
        )
