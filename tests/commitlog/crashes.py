"""Crashes a compaction before each of its changes to the directory, one after the other, and looks what is left.

`python -m tests.commitlog.crashes DIR` prints how many points there were. Each attempt is a process forked from this
one, which has no threads; a crash is what `kill -9` does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from noetl_stream.commitlog.cleaner import Cleaner
from noetl_stream.commitlog.compaction_plan import CompactionRules, plan_compaction
from noetl_stream.commitlog.partition import Partition
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.segment import SegmentLimits
from tests.commitlog.keyed_log import final_values, keyed_batch, read
from tests.commitlog.samples import BASE_TIME, append, opened_storage

SMALL = SegmentLimits(max_bytes=300)
RULES = CompactionRules(min_dirty_ratio=0, segment_bytes=900, delete_retention_ms=1000)
PASSES = (BASE_TIME, BASE_TIME + 1, BASE_TIME + 5000)
"""The second gives markers their horizon, the third removes them, and tombstones."""
CRASHED, LOST = -signal.SIGKILL, 1


def main(scratch: Path) -> int:
    """The number of points before which a compaction was crashed; each left a log that reads as before."""
    template, attempt = scratch / "template", scratch / "attempt"
    template.mkdir()
    require(in_a_fork(partial(write, template)) == 0)
    for point in count(1):
        shutil.rmtree(attempt, ignore_errors=True)
        shutil.copytree(template, attempt)
        ended = in_a_fork(partial(compact, attempt, crash_before=point))
        require(ended in (0, CRASHED))
        require(in_a_fork(partial(look, template, attempt)) == 0, f"records were lost before point {point}")
        if ended == 0:
            return point - 1
    raise AssertionError


def in_a_fork(work: Callable[[], Awaitable[None]]) -> int:
    """Do it in a process of its own; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(_awaited(work))
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(LOST)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Partition]:
    async with opened_storage() as storage:
        partition = open_partition(directory, storage, limits=SMALL)
        yield partition
        await partition.release()


async def write(directory: Path) -> None:
    """A history with all that compaction treats in its own way."""
    async with opened(directory) as partition:
        write_batch(partition, [(b"of-producer", b"1")], producer_id=7)
        write_batch(partition, [(b"aborted", b"x"), (b"a", b"x")], producer_id=1, transactional=True)
        partition.end_transaction(producer_id=1, epoch=0, committed=False, now=BASE_TIME)
        write_batch(partition, [(b"a", b"committed")], producer_id=2, transactional=True)
        partition.end_transaction(producer_id=2, epoch=0, committed=True, now=BASE_TIME)
        write_batch(partition, [(b"gone", b"1"), (b"kept", b"1")])
        write_batch(partition, [(b"gone", None), (b"of-producer", b"2")])
        for number in range(20):
            write_batch(partition, [(key, b"%d" % number) for key in (b"a", b"b", b"c")])
        await partition.durable()


def write_batch(
    partition: Partition,
    changes: list[tuple[bytes, bytes | None]],
    *,
    producer_id: int = -1,
    transactional: bool = False,
) -> int:
    sequence = 0 if producer_id >= 0 else -1
    batch = keyed_batch(changes, producer_id=producer_id, sequence=sequence, transactional=transactional)
    return append(partition, batch)


async def compact(directory: Path, *, crash_before: int | None = None) -> None:
    async with opened(directory) as partition:
        cleaner, since = Cleaner(keys=1000), 0
        if crash_before is not None:
            sys.addaudithook(_bomb(crash_before))
        for now in PASSES:
            plan = plan_compaction(
                partition.segments,
                RULES,
                since=since,
                stable_offset=partition.last_stable_offset,
                horizon=now,
                now=now,
            )
            require(plan is not None)
            assert plan is not None
            since = (await cleaner.compact(partition, plan, RULES, now)).end
        cleaner.close()
        shown = read(partition)
        require(not any(value is None or value == b"x" for _, _, value in shown))
        require(len(shown) < 20)


def _bomb(crash_before: int) -> Callable[[str, tuple[object, ...]], None]:
    """Counts what changes names or opens files for writing; the interpreter tells of it before it happens."""
    left = [crash_before]

    def count_down(event: str, arguments: tuple[object, ...]) -> None:
        writes = (
            event == "open" and isinstance(flags := arguments[2], int) and flags & (os.O_RDWR | os.O_WRONLY)
        )
        if writes or event in ("os.rename", "os.remove"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return count_down


async def look(template: Path, attempt: Path) -> None:
    """Every reader ends with the same values; the producer goes on; the compaction can be done to its end."""
    async with opened(template) as before, opened(attempt) as after:
        require_same(before, after)
        # It stands there already: the producer's last batch is known, by its sequence.
        require(write_batch(after, [(b"of-producer", b"1")], producer_id=7) == 0)
    await compact(attempt)
    async with opened(template) as before, opened(attempt) as after:
        require_same(before, after)


def require_same(before: Partition, after: Partition) -> None:
    require(after.end_offset == before.end_offset)
    for since in range(before.end_offset):
        require(final_values(read(after, since)) == final_values(read(before, since)))


def require(holds: bool, otherwise: str = "the log is not what it was") -> None:
    if not holds:
        raise AssertionError(otherwise)


if __name__ == "__main__":
    # A killed process loses nothing that it wrote: fsync is for the machine's death, and two hundred forks wait for it.
    with patch("os.fsync"):
        print(main(Path(sys.argv[1])))
