"""Keeps the promises of `cleanup.policy` in the background: one sweep over all partitions after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from noetl_stream.broker.cleanup_policy import compaction_rules, retention
from noetl_stream.broker.clock import wall_clock
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.topic import Topic
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.cleaner import Cleaned, Cleaner, Overtaken
from noetl_stream.commitlog.compaction_plan import CompactionPlan, CompactionRules, plan_compaction
from noetl_stream.commitlog.pace import Stopped
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.rewriting import Uncleanable
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class CleaningCounters:
    """What has been done since the broker started. `uncleanable` counts partitions that were put aside."""

    sweeps: int = 0
    removed_segments: int = 0
    passes: int = 0
    removed_records: int = 0
    removed_bytes: int = 0
    uncleanable: int = 0


class _Log(NamedTuple):
    topic: Topic
    number: int
    partition: Partition

    def __str__(self) -> str:
        return f"{self.topic.name}/{self.number}"


class _Due(NamedTuple):
    log: _Log
    rules: CompactionRules
    plan: CompactionPlan


class Cleaning:
    """Sweeps every `cleaning_interval` seconds."""

    def __init__(self, topics: Topics, settings: BrokerSettings) -> None:
        self._topics, self._interval = topics, settings.cleaning_interval
        self._cleaner = Cleaner(settings.cleaning_keys)
        self._horizons: dict[Partition, int] = {}
        self._put_aside: set[Partition] = set()
        self._compacting: tuple[Topic, asyncio.Future[None]] | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counters = CleaningCounters()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="cleaning")

    async def close(self) -> None:
        """End the sweep that is under way at its next batch."""
        self._closing.set()
        self._cleaner.stop()
        if self._task is not None:
            await self._task
        self._cleaner.close()

    async def leave(self, topic: Topic) -> None:
        """Return once nothing here touches the topic's files. It must not be found among the topics any more."""
        if self._compacting is not None and self._compacting[0] is topic:
            self._cleaner.stop()
            await asyncio.wait([self._compacting[1]])
        for partition in topic.partitions:
            self._horizons.pop(partition, None)
            self._put_aside.discard(partition)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self.sweep()
            try:
                async with asyncio.timeout(self._interval):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> None:
        """Apply retention to every log, then compact those that are due, the dirtiest first."""
        due = []
        for log in self._logs():
            await self._guarded(log, self._retain(log))
            if (found := self._due(log)) is not None:
                due.append(found)
            await asyncio.sleep(0)  # a thousand partitions must not hold up the loop
        for found in sorted(due, key=lambda found: found.plan.dirty_ratio, reverse=True):
            await self._guarded(found.log, self._compact(found))
        self.counters.sweeps += 1

    def _logs(self) -> Iterator[_Log]:
        """Those that still are there each time the next one is asked for."""
        for topic in tuple(self._topics):
            for number, partition in enumerate(tuple(topic.partitions)):
                gone = self._topics.find(topic.name) is not topic
                if not (gone or partition in self._put_aside or self._closing.is_set()):
                    yield _Log(topic, number, partition)

    async def _retain(self, log: _Log) -> None:
        """Close a segment that has grown for long enough, then drop those whose time is over."""
        topic, number, partition = log
        rules, now = retention(topic.config), wall_clock()
        expired = rules is not None and rules.expired(partition.active, now)
        if expired or partition.is_segment_due(now):
            partition.roll()
        start = rules.first_kept(partition.segments, partition.size, now) if rules is not None else None
        start = partition.start_offset if start is None else min(start, partition.high_watermark)
        unread = [segment for segment in partition.segments if segment.next_offset <= start]
        if unread:  # deleted records among them, whose files a pass of compaction still held
            await self._topics.retain_from(topic, number, start)
            self.counters.removed_segments += len(unread)
            logger.info("%s begins at offset %d", log, partition.start_offset)

    def _due(self, log: _Log) -> _Due | None:
        rules = compaction_rules(log.topic.config)
        if rules is None or self._topics.find(log.topic.name) is not log.topic:
            return None
        plan = plan_compaction(
            log.partition.segments,
            rules,
            since=log.topic.cleaned_offsets.get(log.number, 0),
            stable_offset=log.partition.last_stable_offset,
            horizon=self._horizons.get(log.partition),
            now=wall_clock(),
        )
        return None if plan is None else _Due(log, rules, plan)

    async def _compact(self, due: _Due) -> None:
        """Passes until nothing is due any more: a table of keys may have been too small for all of it."""
        done = asyncio.get_running_loop().create_future()
        self._compacting = (due.log.topic, done)
        try:
            while (found := self._due(due.log)) is not None:
                cleaned = await self._cleaner.compact(
                    found.log.partition, found.plan, found.rules, wall_clock()
                )
                self._note(found, cleaned)
        finally:
            self._compacting = None
            done.set_result(None)

    def _note(self, due: _Due, cleaned: Cleaned) -> None:
        topic, number, partition = due.log
        self._topics.note_cleaned(topic, number, cleaned.end)
        self._horizons.pop(partition, None)
        if cleaned.next_horizon is not None:
            self._horizons[partition] = cleaned.next_horizon
        self.counters.passes += 1
        self.counters.removed_records += cleaned.removed_records
        self.counters.removed_bytes += cleaned.removed_bytes
        logger.info(
            "%s is compacted up to offset %d: %d bytes fewer", due.log, cleaned.end, cleaned.removed_bytes
        )

    async def _guarded(self, log: _Log, work: Awaitable[None]) -> None:
        """One log's trouble is not another's. A full disk may pass; damage does not."""
        try:
            await work
        except (Overtaken, Stopped):
            return
        except OSError as error:
            logger.warning("%s could not be cleaned (%s); the next sweep tries again", log, error)
        except Exception as error:
            self._put_aside.add(log.partition)
            self.counters.uncleanable += 1
            foreseen = isinstance(error, (Uncleanable, InfrastructureError))
            logger.error(
                "%s is not cleaned any more until the broker starts again: %s",
                log,
                error,
                exc_info=not foreseen,
            )
