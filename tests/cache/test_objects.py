"""The object cache keeps the contract on every store, within its local tier's bound."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.open import open_cache
from noetl_stream.cache.tier import Tier
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.ports.frames import Cache
from tests.contract.cache import KEY, CacheContract, flights

STORES = ["memory", "file"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store", mkdir=True)


@pytest.fixture
def cache(store: ObjectStore, tmp_path: Path) -> Cache:
    return ObjectCache(store, Tier(tmp_path / "tier", 1 << 20))


class TestObjectCache(CacheContract):
    """The port's contract, on each store."""


def numbers(start: int) -> pa.Table:
    """About 80 kB, whatever the compression."""
    return pa.table({"n": [hash((start, i)) for i in range(10_000)]})


async def test_another_machine_reads_what_one_wrote(store: ObjectStore, tmp_path: Path) -> None:
    ref = await ObjectCache(store, Tier(tmp_path / "a", 1 << 20)).put_table(KEY, flights())

    frame = await ObjectCache(store, Tier(tmp_path / "b", 1 << 20)).frame(ref)

    assert frame.arrow().equals(flights())
    assert frame.path().is_relative_to(tmp_path / "b")


@pytest.mark.parametrize("compression", ["lz4", "zstd", None])
async def test_remote_tables_are_compressed_as_configured(tmp_path: Path, compression: str | None) -> None:
    repetitive = pa.table({"n": [1] * 100_000})
    cache = ObjectCache(MemoryStore(), Tier(tmp_path, 1 << 20), compression=compression)  # type: ignore[arg-type]

    ref = await cache.put_table(KEY, repetitive)

    assert (ref.bytes < 100_000) is (compression is not None)
    assert (await cache.frame(ref)).arrow().equals(repetitive)


async def test_the_tier_drops_the_least_recently_used(store: ObjectStore, tmp_path: Path) -> None:
    tier = Tier(tmp_path / "tier", 200_000)
    cache = ObjectCache(store, tier)
    first, second = [await cache.put_table(replace(KEY, attempt=n), numbers(n)) for n in (1, 2)]
    kept = (await cache.frame(first)).path()

    await cache.put_table(replace(KEY, attempt=3), numbers(3))

    assert tier.bytes <= 200_000
    assert kept.exists()
    assert not (tmp_path / "tier" / second.uri.removeprefix("cache:")).exists()
    assert (await cache.frame(second)).arrow().equals(numbers(2))


async def test_a_frame_in_use_is_never_dropped(store: ObjectStore, tmp_path: Path) -> None:
    cache = ObjectCache(store, Tier(tmp_path / "tier", 1))
    frame = await cache.frame(await cache.put_table(KEY, numbers(1)))

    for attempt in (2, 3):
        await cache.put_table(replace(KEY, attempt=attempt), numbers(attempt))

    assert frame.path().exists()
    assert frame.arrow().num_rows == 10_000


async def test_many_readers_download_once(store: ObjectStore, tmp_path: Path) -> None:
    ref = await ObjectCache(store, Tier(tmp_path / "a", 1 << 20)).put_table(KEY, numbers(1))
    reader = ObjectCache(store, Tier(tmp_path / "b", 1 << 20))

    frames = await asyncio.gather(*(reader.frame(ref) for _ in range(8)))

    assert {frame.path().stat().st_ino for frame in frames} == {frames[0].path().stat().st_ino}
    assert len(list((tmp_path / "b").rglob("*.arrow"))) == 1


async def test_a_new_process_finds_the_tier_as_it_was(store: ObjectStore, tmp_path: Path) -> None:
    ref = await ObjectCache(store, Tier(tmp_path / "tier", 1 << 20)).put_table(KEY, numbers(1))

    assert Tier(tmp_path / "tier", 1 << 20).bytes == ref.bytes


async def test_bytes_that_changed_in_the_store_are_found(store: ObjectStore, tmp_path: Path) -> None:
    cache = ObjectCache(store, Tier(tmp_path / "tier", 1 << 20))
    ref = await cache.put_json(KEY, {"amount": 1})
    await obstore.put_async(store, ref.uri.removeprefix("cache:"), b'{"refs":[],"value":{"amount":9}}')

    with pytest.raises(InfrastructureError, match="are not the ones written"):
        await cache.json(ref)


async def test_a_store_out_of_reach_is_the_platforms_to_mend(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    cache = ObjectCache(LocalStore(folder, mkdir=True), Tier(tmp_path / "tier", 1 << 20))
    folder.rmdir()
    folder.touch()

    with pytest.raises(InfrastructureError, match="check its URL, network and credentials"):
        await cache.put_json(KEY, 1)


def test_a_path_is_mapped_and_a_url_goes_through_the_store(tmp_path: Path) -> None:
    opened = [
        type(open_cache(place, tier=tmp_path / "tier", tier_bytes=1))
        for place in (str(tmp_path / "c"), tmp_path / "c", f"file://{tmp_path}/c", "memory:///", "s3://b/c")
    ]

    assert opened == [LocalCache, LocalCache, ObjectCache, ObjectCache, ObjectCache]


def test_an_unknown_scheme_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'ftp://x' is no place for a cache; .*s3.*://"):
        open_cache("ftp://x", tier=tmp_path, tier_bytes=1)
