"""A store on a bad day: what can be mended by asking again is, and what cannot is told in time and leaves nothing half."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import obstore
import pyarrow as pa
import pytest

from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.open import remote
from noetl_stream.core.values import Ref
from noetl_stream.errors import InfrastructureError
from tests.cache.faulty import (
    EXPIRED,
    INTERNAL,
    SLOW_DOWN,
    Altered,
    Cut,
    Fault,
    FaultyStore,
    Silence,
    Unheard,
)
from tests.cache.s3 import HASTY, PATIENT, S3
from tests.contract.cache import KEY, flights

pytestmark = pytest.mark.slow


def named(fault: Fault) -> str:
    return type(fault).__name__


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.new_bucket()


def machine(url: str, s3: S3 | FaultyStore, folder: Path) -> ObjectCache:
    """A machine's cache, which is hasty where the store has a bad day."""
    options, patience = (s3.as_s3.options, HASTY) if isinstance(s3, FaultyStore) else (s3.options, PATIENT)
    return remote(url, tier=folder, tier_bytes=1 << 30, options=options, patience=patience)


def noise(megabytes: int) -> pa.Table:
    """What no compression makes smaller."""
    return pa.table({"noise": [os.urandom(1 << 20) for _ in range(megabytes)]})


async def stored(url: str, s3: S3, folder: Path, table: pa.Table) -> Ref:
    """What another machine wrote on a good day."""
    return await machine(url, s3, folder / "writer").put_table(KEY, table)


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL, Cut(0), Silence()], ids=named)
async def test_a_write_that_meets_a_passing_fault_is_done(
    fault: Fault, bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    proxy.meet("PUT", fault, fault)

    ref = await machine(bucket, proxy, tmp_path / "a").put_table(KEY, flights())

    assert (await machine(bucket, s3, tmp_path / "b").frame(ref)).arrow().equals(flights())


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL, Cut(0), Cut(1 << 20), Silence()], ids=named)
async def test_a_read_that_meets_a_passing_fault_is_whole(
    fault: Fault, bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    table = noise(10)
    ref = await stored(bucket, s3, tmp_path, table)
    proxy.meet("GET", fault, fault)

    frame = await machine(bucket, proxy, tmp_path / "reader").frame(ref)

    assert frame.arrow().equals(table)


async def test_a_broken_read_goes_on_where_it_broke_off(
    bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    ref = await stored(bucket, s3, tmp_path, noise(7))
    proxy.meet("GET", Cut(5 << 20))

    await machine(bucket, proxy, tmp_path / "reader").frame(ref)

    assert len(proxy.requests) == 2


@pytest.mark.parametrize("fault", [SLOW_DOWN, Cut(100), Silence(), Altered(), EXPIRED], ids=named)
async def test_a_read_that_cannot_be_done_is_told_in_time_and_leaves_nothing(
    fault: Fault, bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    ref = await stored(bucket, s3, tmp_path, flights())
    reader, proxy.always, began = machine(bucket, proxy, tmp_path / "reader"), fault, time.monotonic()

    with pytest.raises(InfrastructureError):
        await reader.frame(ref)

    assert time.monotonic() - began < 20
    assert list((tmp_path / "reader").rglob("*.arrow")) == []
    proxy.always = None
    assert (await reader.frame(ref)).arrow().equals(flights())


async def test_credentials_that_expired_are_told_as_such(
    bucket: str, proxy: FaultyStore, tmp_path: Path
) -> None:
    cache = machine(bucket, proxy, tmp_path)
    await cache.check()
    proxy.always = EXPIRED

    with pytest.raises(
        InfrastructureError, match=r"refuses the platform's credentials \(400.*ExpiredToken\); renew them"
    ):
        await cache.put_json(KEY, 1)


async def test_a_claim_whose_answer_got_lost_is_known_again(
    bucket: str, proxy: FaultyStore, tmp_path: Path
) -> None:
    cache = machine(bucket, proxy, tmp_path)
    proxy.meet("PUT", Unheard())

    won = [await claimed(cache, b"run 1"), await claimed(cache, b"run 1"), await claimed(cache, b"run 2")]

    assert won[1:] == [True, False]


async def claimed(cache: ObjectCache, content: bytes) -> bool | None:
    """None: nobody knows."""
    try:
        return await cache.create("7/load/0/0", content)
    except InfrastructureError:
        return None


async def test_a_cancelled_read_leaves_nothing_half(
    bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    table = noise(20)
    ref = await stored(bucket, s3, tmp_path, table)
    reader = machine(bucket, proxy, tmp_path / "reader")
    proxy.always = Silence()

    reading = asyncio.create_task(reader.frame(ref))
    await proxy.met.wait()
    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert list((tmp_path / "reader").rglob("*.arrow")) == []
    proxy.always = None
    assert (await reader.frame(ref)).arrow().equals(table)


WRITER = """
import asyncio, os, sys
from pathlib import Path
import pyarrow as pa
from noetl_stream.cache.open import remote
from tests.contract.cache import KEY

url, folder, *options = sys.argv[1:]
cache = remote(url, tier=Path(folder), tier_bytes=1 << 30, options=tuple(options))
asyncio.run(cache.put_table(KEY, pa.table({"noise": [os.urandom(1 << 20) for _ in range(40)]})))
"""


async def test_a_writer_killed_in_mid_upload_leaves_no_object(
    bucket: str, proxy: FaultyStore, s3: S3, tmp_path: Path
) -> None:
    """Some parts have arrived, one has not. The next process removes what the writer left on this machine."""
    proxy.meet("PUT", Silence())
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITER, bucket, str(tmp_path / "shared"), *proxy.as_s3.options), stderr=PIPE
    )
    await proxy.met.wait()
    writer.send_signal(signal.SIGKILL)
    await writer.communicate()

    assert await obstore.list(s3.store(bucket)).collect_async() == []
    left = list((tmp_path / "shared" / "processes").rglob("*.arrow"))
    assert len(left) == 1

    after = machine(bucket, s3, tmp_path / "shared")
    ref = await after.put_table(KEY, noise(40))
    assert (await after.frame(ref)).arrow().num_rows == 40
    assert not left[0].exists()
