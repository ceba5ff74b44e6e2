"""How the topics of this broker come, change and go: in its journal, in their files, and in what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from kio.schema.errors import ErrorCode

from noetl_stream.broker.cleanup_policy import is_compacted
from noetl_stream.broker.entries import (
    Entry,
    LogCleaned,
    LogSynced,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
)
from noetl_stream.broker.journal import Journal
from noetl_stream.broker.topic import Topic, TopicTable, check_name
from noetl_stream.broker.topic_config import check_configs
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.refusal import Refused
from noetl_stream.commitlog.segment import remove_files
from noetl_stream.commitlog.topic_files import TopicFiles

MAX_PARTITIONS = 1000


class Topics(TopicTable):
    """The topics there are, and their changes, which are in the journal before they are answered."""

    def __init__(self, files: TopicFiles, default_partitions: int) -> None:
        super().__init__()
        self._files, self._default_partitions = files, default_partitions
        self._changing = asyncio.Lock()
        self._before_removal: Callable[[Topic], Awaitable[None]] | None = None
        self._forget: tuple[Callable[[str], None], ...] = ()
        self._journal: Journal

    # Recovery.

    def apply(
        self, entry: TopicCreated | TopicChanged | TopicDeleted | RecordsDeleted | LogCleaned | LogSynced
    ) -> None:
        """Replay one journal entry. Files are opened by `open`, once all are known."""
        match entry:
            case TopicCreated(name=name, directory=directory, partitions=count, configs=configs):
                self._add(Topic(name=name, directory=directory, partition_count=count, configs=configs))
            case TopicChanged(name=name, partitions=count, configs=configs):
                self._topics[name].partition_count, self._topics[name].configs = count, configs
            case TopicDeleted(name=name, directory=directory):
                if name in self._topics:  # a journal rewritten since says only that it is gone
                    self._drop(self._topics[name])
                self._forget_all(name)
                self._files.remove(directory)
            case RecordsDeleted(topic=name, partition=index, offset=offset):
                self._topics[name].start_offsets[index] = offset
            case LogCleaned(topic=name, partition=index, offset=offset):
                self._topics[name].cleaned_offsets[index] = offset
            case LogSynced(topic=name, partition=index, position=position):
                self._topics[name].synced_positions[index] = position

    def open(self) -> None:
        """Recover every partition.

        Raises:
            InfrastructureError: a log is damaged, or not where the journal says.
        """
        self._files.remove_unfinished({topic.directory for topic in self})
        for topic in self:
            topic.partitions = [
                self._files.open(
                    topic.directory,
                    index,
                    topic.segment_limits,
                    compacted=is_compacted(topic.config),
                    start_offset=topic.start_offsets.get(index, 0),
                    synced_position=topic.synced_positions.get(index, 0),
                )
                for index in range(topic.partition_count)
            ]

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
            for index, offset in topic.cleaned_offsets.items():
                yield LogCleaned(topic=topic.name, partition=index, offset=offset)

    def checkpoint(self) -> None:
        """Note what stands in every log, as soon as it is on the disk."""
        for topic in self:
            for partition in topic.partitions:
                partition.checkpoint()

    def when_deleted(self, *forget: Callable[[str], None]) -> None:
        """Call these with the name of a deleted topic, before there can be another one of that name."""
        self._forget = forget

    def _forget_all(self, name: str) -> None:
        for forget in self._forget:
            forget(name)

    def before_removal(self, leave: Callable[[Topic], Awaitable[None]]) -> None:
        """Await `leave` before the files of a deleted topic go."""
        self._before_removal = leave

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
            directory = self._files.new_directory(name)
            topic = Topic(
                name=name, directory=directory, partition_count=count, configs=check_configs(configs)
            )
            entry = TopicCreated(name=name, directory=directory, partitions=count, configs=topic.configs)
            topic.partitions = await self._made(topic, range(count), entry)
            self._add(topic)
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
        check_name(name)
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
            self._drop(topic)
            try:
                await self._journal.write(TopicDeleted(name=name, directory=topic.directory))
            except OSError:
                self._add(topic)
                raise
            self._forget_all(name)
            if self._before_removal is not None:
                await self._before_removal(topic)
            for partition in topic.partitions:
                await partition.release()
            await asyncio.to_thread(self._files.remove, topic.directory)

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
            entry = TopicChanged(name=name, partitions=partitions, configs=topic.configs)
            added = await self._made(topic, range(topic.partition_count, partitions), entry)
            topic.partition_count = partitions
            topic.partitions.extend(added)

    async def _made(
        self, topic: Topic, indexes: range, entry: TopicCreated | TopicChanged
    ) -> list[Partition]:
        """New logs, and the entry that says so. On a full disk nothing is left of them, however often they are tried."""
        made = await asyncio.to_thread(self._files.create, topic.directory, indexes, topic.segment_limits)
        try:
            await self._journal.write(entry)
        except OSError:
            self._files.discard(topic.directory, indexes, made)
            raise
        return made

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
            for partition in topic.partitions:
                partition.limit_segments(topic.segment_limits)

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
            return await self._begin_at(self.topic(name), index, offset)

    async def retain_from(self, topic: Topic, index: int, offset: int) -> None:
        """Records before `offset`, which readers can see, have served their time. Nothing if the topic is gone."""
        async with self._changing:
            if self.find(topic.name) is topic:
                await self._begin_at(topic, index, offset)

    async def _begin_at(self, topic: Topic, index: int, offset: int) -> int:
        partition = topic.partitions[index]
        offset = max(offset, partition.start_offset)
        await self._journal.write(RecordsDeleted(topic=topic.name, partition=index, offset=offset))
        topic.start_offsets[index] = offset
        await asyncio.to_thread(remove_files, partition.delete_before(offset))
        return offset

    def note_cleaned(self, topic: Topic, index: int, offset: int) -> None:
        """Compaction has come up to `offset`. That need not be durable: it would only be done again.

        Raises:
            OSError: the disk did not take the note.
        """
        if self.find(topic.name) is topic:
            topic.cleaned_offsets[index] = offset
            self._journal.append(LogCleaned(topic=topic.name, partition=index, offset=offset))
