"""The local tier: bounded, shared by the processes of a machine, and never at the cost of who reads."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from asyncio.subprocess import PIPE
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest
from obstore.store import MemoryStore

from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.tables import open_table, write_table
from noetl_stream.cache.tier import Tier
from noetl_stream.errors import InfrastructureError
from noetl_stream.ports.frames import FrameKey
from tests.contract.cache import KEY

SIZE = 50_000


def write(path: Path, content: bytes = b"x" * SIZE) -> None:
    path.write_bytes(content)


def links(root: Path) -> list[Path]:
    """What some process reads or has half."""
    return list(root.glob("processes/*/*.arrow"))


def objects(root: Path) -> list[Path]:
    """What anybody may read."""
    return list(root.glob("objects/*/*.arrow"))


async def fetch(path: Path) -> None:
    write(path)


async def no_fetch(path: Path) -> None:
    raise AssertionError("it is here")


async def passed(tier: Tier, *names: str) -> None:
    """Objects that somebody read and let go."""
    for name in names:
        tier.let_go(await tier.take(name, SIZE, fetch))


async def is_here(tier: Tier, name: str) -> bool:
    try:
        tier.let_go(await tier.take(name, SIZE, no_fetch))
    except AssertionError:
        return False
    return True


async def test_the_least_recently_used_go(tmp_path: Path) -> None:
    tier = Tier(tmp_path, 3 * SIZE + SIZE // 2)
    await passed(tier, "a", "b", "c", "a")

    await passed(tier, "d")

    assert [await is_here(tier, name) for name in "abcd"] == [True, False, True, True]
    assert tier.bytes == 3 * SIZE


async def test_what_is_read_now_stays_whatever_the_bound(tmp_path: Path) -> None:
    tier = Tier(tmp_path, SIZE)
    held = await tier.take("a", SIZE, fetch)

    await passed(tier, "b", "c")

    assert held.stat().st_size == SIZE
    assert await is_here(tier, "a")


async def test_two_readers_of_one_object_hold_it_each(tmp_path: Path) -> None:
    """The first to finish takes nothing from the second."""
    tier = Tier(tmp_path, 1)
    first, second = await tier.take("a", SIZE, fetch), await tier.take("a", SIZE, fetch)
    tier.let_go(second)

    await passed(tier, "b")

    assert first.exists()
    assert await is_here(tier, "a")


async def test_a_frame_lets_go_when_nobody_has_it_any_more(tmp_path: Path) -> None:
    cache = ObjectCache(MemoryStore(), Tier(tmp_path, 1 << 20), place="memory:///")
    frame = await cache.frame(await cache.put_table(KEY, pa.table({"n": [1]})))
    path = frame.path()
    assert path.exists()

    del frame

    assert not path.exists()


async def test_a_mapped_table_outlives_its_file(tmp_path: Path) -> None:
    """Linux keeps the bytes for whoever maps them."""
    cache = ObjectCache(MemoryStore(), Tier(tmp_path, 1 << 20), place="memory:///", compression=None)
    frame = await cache.frame(await cache.put_table(KEY, pa.table({"n": range(100_000)})))
    table = frame.arrow()
    await cache.close()

    assert links(tmp_path) == []
    assert table["n"].to_pylist() == list(range(100_000))


async def test_a_new_process_finds_what_is_here_and_counts_it(tmp_path: Path) -> None:
    await passed(Tier(tmp_path, 10 * SIZE), "a", "b")
    later = Tier(tmp_path, 2 * SIZE + SIZE // 2)

    assert await is_here(later, "a")
    await passed(later, "c")

    assert [await is_here(later, name) for name in "abc"] == [True, False, True]


async def test_a_bound_is_shared_by_all_who_share_the_folder(tmp_path: Path) -> None:
    one, other = Tier(tmp_path, 4 * SIZE), Tier(tmp_path, 4 * SIZE)

    for number in range(10):
        await passed(one, f"one-{number}")
        await passed(other, f"other-{number}")

    assert one.bytes <= 4 * SIZE


async def test_another_process_never_drops_what_this_one_reads(tmp_path: Path) -> None:
    one, other = Tier(tmp_path, 1), Tier(tmp_path, 1)
    held = await one.take("a", SIZE, fetch)

    await passed(other, "b")
    await other.drop(down_to=0)

    assert held.read_bytes() == b"x" * SIZE
    assert await is_here(other, "a")


async def test_many_who_ask_at_once_fetch_once(tmp_path: Path) -> None:
    fetched: list[Path] = []

    async def slow(path: Path) -> None:
        fetched.append(path)
        await asyncio.sleep(0)
        write(path, b"x")

    tier = Tier(tmp_path, SIZE)
    paths = await asyncio.gather(*(tier.take("a", 1, slow) for _ in range(20)))

    assert len(fetched) == 1
    assert len(set(paths)) == 20


async def test_one_who_gives_up_leaves_the_fetching_to_the_next(tmp_path: Path) -> None:
    tier, began = Tier(tmp_path, SIZE), asyncio.Event()

    async def endless(path: Path) -> None:
        write(path, b"half")
        began.set()
        await asyncio.get_running_loop().create_future()

    first = asyncio.create_task(tier.take("a", SIZE, endless))
    await began.wait()
    second = asyncio.create_task(tier.take("a", SIZE, fetch))
    first.cancel()

    assert (await second).stat().st_size == SIZE
    assert len(links(tmp_path)) == 1


async def test_a_file_torn_by_a_power_cut_is_fetched_again(tmp_path: Path) -> None:
    tier = Tier(tmp_path, 10 * SIZE)
    await passed(tier, "a")
    (path,) = objects(tmp_path)
    os.truncate(path, 10)

    assert (await tier.take("a", SIZE, fetch)).stat().st_size == SIZE
    assert path.stat().st_size == SIZE


async def test_a_full_disk_is_tried_again_without_what_nobody_uses(tmp_path: Path) -> None:
    tier = Tier(tmp_path, 10 * SIZE)
    await passed(tier, "a", "b")
    held = await tier.take("c", SIZE, fetch)

    async def fits_alone(path: Path) -> None:
        if tier.bytes > SIZE:
            write(path, b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path)

    assert (await tier.take("d", SIZE, fits_alone)).stat().st_size == SIZE
    assert [await is_here(tier, name) for name in "abcd"] == [False, False, True, True]
    assert held.exists()


async def test_a_disk_that_stays_full_is_the_platforms_to_mend(tmp_path: Path) -> None:
    async def never_fits(path: Path) -> None:
        write(path, b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InfrastructureError, match=r"cannot be used \(No space left on device\); check space"):
        await Tier(tmp_path, SIZE).take("a", SIZE, never_fits)
    assert links(tmp_path) == objects(tmp_path) == []


HOLDER = """
import asyncio, sys
from pathlib import Path
from noetl_stream.cache.tier import Tier


async def fetch(path):
    path.write_bytes(b"x" * 50_000)


async def hold():
    tier = Tier(Path(sys.argv[1]), 1)
    held = [await tier.take("a", 50_000, fetch), (await tier.filled(fetch))[0]]
    print(*held, flush=True)
    sys.stdin.read()


asyncio.run(hold())
"""


@pytest.mark.slow
async def test_what_a_killed_process_held_and_had_half_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(tmp_path)), stdin=PIPE, stdout=PIPE
    )
    assert holder.stdout is not None
    held = [Path(path) for path in (await holder.stdout.readline()).decode().split()]

    await passed(Tier(tmp_path, 1), "b")
    assert all(path.exists() for path in held)

    holder.send_signal(signal.SIGKILL)
    await holder.communicate()
    await passed(Tier(tmp_path, 1), "c")
    assert links(tmp_path) == []


async def test_a_block_writes_its_table_into_the_tier_once(tmp_path: Path) -> None:
    """What a worker wrote it reads again without asking the store."""
    store = MemoryStore()
    cache = ObjectCache(store, Tier(tmp_path, 1 << 20), place="memory:///")
    ref = await cache.put_table(FrameKey(execution=1, block=KEY.block, attempt=0), pa.table({"n": [1]}))
    store.delete(ref.uri.removeprefix("cache:"))

    assert (await cache.frame(ref)).arrow().equals(pa.table({"n": [1]}))


def test_a_written_table_has_the_hash_of_its_file(tmp_path: Path) -> None:
    """Hashed by a thread while it is written, over several pieces."""
    table = pa.table({"n": range(3_000_000)})

    stored = write_table(tmp_path / "t", table)

    assert stored.sha256 == sha256((tmp_path / "t").read_bytes()).hexdigest()
    assert stored.bytes == (tmp_path / "t").stat().st_size
    assert open_table(tmp_path / "t").equals(table)
