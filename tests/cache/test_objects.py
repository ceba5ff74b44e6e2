"""The object cache keeps the contract on every store: in memory, on a mount, and on S3's own protocol."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore

from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.stored import Compression
from noetl_stream.cache.tier import Tier
from noetl_stream.errors import InfrastructureError
from noetl_stream.ports.frames import Cache
from tests.cache.s3 import S3
from tests.contract.cache import KEY, CacheContract, SweepableContract, flights

STORES = ["memory", "file", pytest.param("s3", marks=pytest.mark.slow)]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        return s3.store(f"{s3.new_bucket()}/a/prefix")
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store", mkdir=True)


def machine(store: ObjectStore, folder: Path, limit: int = 1 << 30) -> ObjectCache:
    """The cache as one machine sees it."""
    return ObjectCache(store, Tier(folder, limit), place="the store")


@pytest.fixture
def cache(store: ObjectStore, tmp_path: Path) -> Cache:
    return machine(store, tmp_path / "tier")


class TestObjectCache(CacheContract, SweepableContract):
    """The port's contract, on each store."""


async def test_another_machine_reads_what_one_wrote(store: ObjectStore, tmp_path: Path) -> None:
    ref = await machine(store, tmp_path / "a").put_table(KEY, flights())

    frame = await machine(store, tmp_path / "b").frame(ref)

    assert frame.arrow().equals(flights())
    assert frame.path().is_relative_to(tmp_path / "b")


async def test_a_large_table_travels_in_pieces(store: ObjectStore, tmp_path: Path) -> None:
    """30 MB that do not compress: several parts there, several ranges back."""
    noise = pa.table({"noise": [os.urandom(1 << 20) for _ in range(30)]})
    ref = await machine(store, tmp_path / "a").put_table(KEY, noise)

    frame = await machine(store, tmp_path / "b").frame(ref)

    assert frame.arrow().equals(noise)
    assert ref.bytes > 30 << 20


async def test_large_json_travels_in_pieces(store: ObjectStore, tmp_path: Path) -> None:
    value = {"text": "x" * (20 << 20)}
    ref = await machine(store, tmp_path / "a").put_json(KEY, value)

    assert await machine(store, tmp_path / "b").json(ref) == value


async def test_what_was_written_is_listed_at_once(store: ObjectStore, tmp_path: Path) -> None:
    cache = machine(store, tmp_path)
    refs = [await cache.put_json(replace(KEY, attempt=n), n) for n in range(5)]

    listed = await obstore.list(store).collect_async()

    assert {f"cache:{found['path']}" for found in listed} == {ref.uri for ref in refs}


@pytest.mark.parametrize("compression", ["lz4", "zstd", None])
async def test_remote_tables_are_compressed_as_configured(tmp_path: Path, compression: Compression) -> None:
    repetitive = pa.table({"n": [1] * 100_000})
    tier = Tier(tmp_path, 1 << 20)
    cache = ObjectCache(MemoryStore(), tier, place="memory:///", compression=compression)

    ref = await cache.put_table(KEY, repetitive)

    assert (ref.bytes < 100_000) is (compression is not None)
    assert (await cache.frame(ref)).arrow().equals(repetitive)


async def test_bytes_that_changed_in_the_store_are_found(store: ObjectStore, tmp_path: Path) -> None:
    cache = machine(store, tmp_path)
    ref = await cache.put_json(KEY, {"amount": 1})
    await obstore.put_async(store, ref.uri.removeprefix("cache:"), b'{"refs":[],"value":{"amount":9}}')

    with pytest.raises(InfrastructureError, match=f"bytes for {ref.uri} are not the ones written"):
        await cache.json(ref)


async def test_a_table_that_changed_in_the_store_is_found_and_not_kept(
    store: ObjectStore, tmp_path: Path
) -> None:
    ref = await machine(store, tmp_path / "a").put_table(KEY, flights())
    await obstore.put_async(store, ref.uri.removeprefix("cache:"), bytes(ref.bytes))
    reader = machine(store, tmp_path / "b")

    with pytest.raises(InfrastructureError, match=f"bytes for {ref.uri} are not the ones written"):
        await reader.frame(ref)
    assert list((tmp_path / "b").rglob("*.arrow")) == []


async def test_running_the_step_again_mends_an_object(store: ObjectStore, tmp_path: Path) -> None:
    ref = await machine(store, tmp_path / "a").put_table(KEY, flights())
    await obstore.put_async(store, ref.uri.removeprefix("cache:"), b"torn")

    assert await machine(store, tmp_path / "c").put_table(KEY, flights()) == ref
    assert (await machine(store, tmp_path / "b").frame(ref)).arrow().equals(flights())


async def test_many_readers_download_once(store: ObjectStore, tmp_path: Path) -> None:
    ref = await machine(store, tmp_path / "a").put_table(KEY, flights())
    reader = machine(store, tmp_path / "b")

    frames = await asyncio.gather(*(reader.frame(ref) for _ in range(8)))

    assert len({frame.path().stat().st_ino for frame in frames}) == 1
    assert frames[0].path().stat().st_nlink == 9


async def test_a_store_out_of_reach_is_the_platforms_to_mend(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    cache = machine(LocalStore(folder, mkdir=True), tmp_path / "tier")
    folder.rmdir()
    folder.touch()

    with pytest.raises(InfrastructureError, match="the cache at the store failed"):
        await cache.put_json(KEY, 1)
