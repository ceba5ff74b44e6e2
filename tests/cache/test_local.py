"""The local cache keeps the contract, copies nothing on opening, and shows no half-written object."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.tables import fingerprint
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.ports.frames import Cache
from tests.contract.cache import KEY, CacheContract, SweepableContract, flights


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return LocalCache(tmp_path / "cache")


class TestLocalCache(CacheContract, SweepableContract):
    """The port's contract."""


def mapped(path: Path) -> list[range]:
    """The address ranges at which this process maps `path`."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [line[0].split("-") for line in lines if line[-1] == str(path)]
    return [range(int(low, 16), int(high, 16)) for low, high in spans]


async def test_a_reader_copies_nothing(cache: Cache) -> None:
    """Every buffer of the table lies in the file's own mapping, and Arrow's allocator is not asked for any of it."""
    wide = pa.table({"n": pa.array(range(1_000_000)), "t": ["text"] * 1_000_000})
    ref = await cache.put_table(KEY, wide)
    before = pa.total_allocated_bytes()

    frame = await cache.frame(ref)
    table = frame.arrow()

    buffers = [b for column in table.columns for chunk in column.chunks for b in chunk.buffers() if b]
    spans = mapped(frame.path())
    assert all(any(buffer.address in span for span in spans) for buffer in buffers)
    assert pa.total_allocated_bytes() - before < 100_000


async def test_a_write_leaves_nothing_but_the_object(cache: Cache, tmp_path: Path) -> None:
    await cache.put_table(KEY, flights())

    files = [p.relative_to(tmp_path / "cache") for p in (tmp_path / "cache").rglob("*.arrow")]
    assert [f.parent.as_posix() for f in files] == ["7/load/0/0/1"]


async def test_a_torn_object_is_mended_by_running_its_step_again(cache: Cache, tmp_path: Path) -> None:
    ref = await cache.put_table(KEY, flights())
    (path,) = (tmp_path / "cache").rglob("*.arrow")
    os.truncate(path, ref.bytes - 8)

    assert await cache.put_table(KEY, flights()) == ref
    assert (await cache.frame(ref)).arrow().equals(flights())


async def test_json_that_changed_on_the_disk_is_found(cache: Cache, tmp_path: Path) -> None:
    ref = await cache.put_json(KEY, {"amount": 1})
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"1", b"9"))

    with pytest.raises(InfrastructureError, match=f"bytes for {ref.uri} are not the ones written"):
        await cache.json(ref)


async def test_a_torn_object_counts_as_gone(cache: Cache, tmp_path: Path) -> None:
    ref = await cache.put_table(KEY, flights())
    (path,) = (tmp_path / "cache").rglob("*.arrow")
    os.truncate(path, ref.bytes - 8)

    with pytest.raises(ToolError, match="is gone from the cache"):
        await cache.frame(ref)


async def test_a_damaged_table_is_the_platforms_to_mend(cache: Cache, tmp_path: Path) -> None:
    ref = await cache.put_table(KEY, flights())
    (path,) = (tmp_path / "cache").rglob("*.arrow")
    path.write_bytes(bytes(ref.bytes))

    with pytest.raises(InfrastructureError, match=r"\.arrow in the cache is damaged"):
        (await cache.frame(ref)).arrow()


async def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InfrastructureError, match=r"cannot be used \(.*\); check space and permissions"):
        await LocalCache(tmp_path / "file").put_json(KEY, 1)


async def test_a_disk_that_cannot_be_read_is_the_platforms_to_mend(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path / "cache")
    ref = await cache.put_table(KEY, flights())
    (tmp_path / "file").touch()
    unreadable = LocalCache(tmp_path / "file")

    for reading in (unreadable.frame(ref), unreadable.json(ref), unreadable.read("claim")):
        with pytest.raises(InfrastructureError, match=r"cannot be used \(.*\); check space and permissions"):
            await reading


async def test_the_schemas_fingerprint_ignores_metadata(cache: Cache) -> None:
    ref = await cache.put_table(KEY, flights())
    tagged = await cache.put_table(replace(KEY, attempt=2), flights().replace_schema_metadata({"by": "x"}))

    assert ref.schema == tagged.schema == fingerprint(flights().schema)
    assert ref.sha256 != tagged.sha256
