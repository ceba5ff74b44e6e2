"""A worker outlasts a bad day of its store, and no longer than it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.patient import PAUSES, PatientCache
from noetl_stream.errors import DamagedResult, InfrastructureError
from noetl_stream.ports.frames import Cache
from tests.contract.cache import KEY, CacheContract, flights


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return PatientCache(LocalCache(tmp_path / "cache"))


class TestPatientCache(CacheContract):
    """The port's contract."""


def blocked(folder: Path) -> None:
    """A file where the cache wants a folder."""
    folder.touch()


async def test_what_works_again_after_a_while_is_done(tmp_path: Path) -> None:
    folder, waited = tmp_path / "cache", list[float]()
    blocked(folder)

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            folder.unlink()

    cache = PatientCache(LocalCache(folder), pause)

    assert (await cache.frame(await cache.put_table(KEY, flights()))).arrow().equals(flights())
    assert waited == [1.0, 2.0, 4.0]


async def test_patience_ends_with_what_the_store_said(tmp_path: Path) -> None:
    waited: list[float] = []
    blocked(tmp_path / "cache")

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    with pytest.raises(InfrastructureError, match="cannot be used"):
        await PatientCache(LocalCache(tmp_path / "cache"), pause).put_json(KEY, 1)
    assert waited == list(PAUSES)


async def test_a_damaged_result_is_told_at_once(tmp_path: Path) -> None:
    async def pause(seconds: float) -> None:
        raise AssertionError("it comes the same")

    cache = PatientCache(LocalCache(tmp_path / "cache"), pause)
    ref = await cache.put_json(KEY, {"amount": 1})
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"1", b"9"))

    with pytest.raises(DamagedResult, match=f"bytes for {ref.uri} are not the ones written"):
        await cache.json(ref)
