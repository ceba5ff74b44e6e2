"""Compacts one log at a time: the reading and writing in a thread of its own, each swap of segments on the event loop.

Segments are replaced from the log's beginning on, each durably before the next. So a tombstone or marker that is given
its horizon, or removed, has nothing older left before it, at whichever point a crash comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from noetl_stream.commitlog.compaction import AbortedRanges, Compaction
from noetl_stream.commitlog.compaction_plan import CompactionPlan, CompactionRules, groups
from noetl_stream.commitlog.pace import Pace
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.rewriting import newest_offsets, rewrite
from noetl_stream.commitlog.segment import Segment
from noetl_stream.commitlog.segment_swap import cleaned_path

P = ParamSpec("P")
T = TypeVar("T")


class Cleaned(NamedTuple):
    """What a pass did: everything before `end` is clean. `next_horizon` is when a tombstone or marker in it may go."""

    end: int
    next_horizon: int | None
    removed_records: int
    removed_bytes: int


class Overtaken(Exception):
    """The log changed during the pass: records were deleted. What was done so far is sound; a later pass goes on."""


class Cleaner:
    """`keys` bounds the memory of a pass, at 30 bytes a key; where a log has more, it takes several passes."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cleaner")
        self._pace = Pace()

    async def compact(
        self, partition: Partition, plan: CompactionPlan, rules: CompactionRules, now: int
    ) -> Cleaned:
        """One pass over the segments of `plan`. `now` is in milliseconds. To be awaited to its end, never cancelled.

        Raises:
            Overtaken, Stopped: the pass ended early.
            Uncleanable, InfrastructureError: the log is damaged.
            OSError: the disk is full or broken.
        """
        pace, aborted = self._pace, AbortedRanges(partition.aborted)
        try:
            newest, end = await self._in_thread(
                newest_offsets, plan.segments, since=plan.since, keys=self._keys, aborted=aborted, pace=pace
            )
            compaction = Compaction(
                newest=newest,
                end=end,
                aborted=aborted,
                last_writes=partition.last_writes(),
                now=now,
                delete_retention_ms=rules.delete_retention_ms,
            )
            affected = [segment for segment in plan.segments if segment.base_offset < end]
            for group in groups(affected, rules.segment_bytes):
                await self._clean(partition, group, compaction, pace)
        except FileNotFoundError as error:  # a segment that was to be read has been deleted
            raise Overtaken from error
        return Cleaned(
            max(end, plan.since),
            compaction.next_horizon,
            compaction.removed_records,
            _size(affected, end) - _size(partition.segments, end),
        )

    async def _clean(
        self, partition: Partition, group: Sequence[Segment], compaction: Compaction, pace: Pace
    ) -> None:
        cleaned = cleaned_path(group)
        if not await self._in_thread(rewrite, group, compaction, cleaned, pace):
            return
        try:
            if not await partition.replace(group, cleaned, pace.breathe):
                raise Overtaken
        finally:
            cleaned.unlink(missing_ok=True)  # it is still there if it was refused

    def stop(self) -> None:
        """End the pass that is under way, at its next batch. Later ones are not affected."""
        self._pace.stop()
        self._pace = Pace()

    def close(self) -> None:
        """End the thread; no pass may be under way."""
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **kwargs))


def _size(segments: Sequence[Segment], end: int) -> int:
    """Bytes of those that begin before `end`."""
    return sum(segment.size for segment in segments if segment.base_offset < end)
