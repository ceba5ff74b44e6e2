"""`python -m bench.cache`: a 100 MB table handed from one step to the next, on one machine and through S3, beside the floor."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import obstore
import pyarrow as pa

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.open import remote
from noetl_stream.core.events import BlockId
from noetl_stream.ports.frames import Cache, FrameKey
from tests.cache.s3 import S3, s3_server

MEGABYTES, ROUNDS = 100, 12
KEY = FrameKey(execution=1, block=BlockId("load", 0, 0), attempt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Milliseconds: the best of a few rounds, and the middle one."""

    best: float
    median: float


def table() -> pa.Table:
    """Four columns of numbers that no compression makes smaller."""
    rows = MEGABYTES * 1_000_000 // 32
    return pa.table(
        {f"n{i}": pa.Array.from_buffers(pa.int64(), rows, [None, _noise(rows)]) for i in range(4)}
    )


def _noise(rows: int) -> pa.Buffer:
    return pa.py_buffer(os.urandom(rows * 8))


async def took(once: Callable[[int], Awaitable[None]], rounds: int = ROUNDS) -> Took:
    found = []
    for number in range(rounds):
        began = time.perf_counter()
        await once(number)
        found.append((time.perf_counter() - began) * 1000)
    return Took(best=round(min(found), 1), median=round(statistics.median(found), 1))


async def handed_on(writer: Cache, reader: Cache, content: pa.Table) -> Took:
    """Written by one, opened by the other, whose first number is read: on one machine always the same object."""

    async def once(number: int) -> None:
        key = KEY if writer is reader else replace(KEY, attempt=number)
        ref = await writer.put_table(key, content)
        assert (await reader.frame(ref)).arrow()[0][0] == content[0][0]

    return await took(once, ROUNDS if writer is reader else ROUNDS // 4)


async def opened(cache: Cache, content: pa.Table) -> Took:
    ref = await cache.put_table(KEY, content)

    async def once(number: int) -> None:
        (await cache.frame(ref)).arrow()

    return await took(once)


async def disk_floor(folder: Path, content: bytes) -> dict[str, Took]:
    """What writing and hashing the same bytes cost by themselves, without syncing."""

    async def written(number: int) -> None:
        (folder / "bytes").write_bytes(content)

    async def hashed(number: int) -> None:
        sha256(content)

    return {"floor: write": await took(written), "floor: sha256": await took(hashed)}


async def s3_floor(s3: S3, url: str, content: bytes) -> Took:
    """The same bytes there and back by the client alone, in one request each."""
    store = s3.store(url)

    async def once(number: int) -> None:
        await obstore.put_async(store, str(number), content, use_multipart=False)
        await (await obstore.get_async(store, str(number))).bytes_async()

    return await took(once, ROUNDS // 4)


async def measure(folder: Path, s3: S3) -> dict[str, Took]:
    content, raw = table(), os.urandom(MEGABYTES * 1_000_000)
    local = LocalCache(folder / "cache")
    (folder / "floor").mkdir()
    url = s3.new_bucket()
    there, here = (
        remote(url, tier=folder / name, tier_bytes=1 << 30, options=s3.options) for name in ("there", "here")
    )
    return {
        **await disk_floor(folder / "floor", raw),
        "local: handed on": await handed_on(local, local, content),
        "local: opened": await opened(local, content),
        "floor: S3 there and back": await s3_floor(s3, s3.new_bucket(), raw),
        "S3: handed to another machine": await handed_on(there, here, content),
        "S3: opened again, from the tier": await opened(here, content),
    }


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m bench.cache", description=__doc__)
    ask.add_argument("--json", action="store_true")
    chosen = ask.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = asyncio.run(measure(folder, stack.enter_context(s3_server())))
    if chosen.json:
        print(json.dumps({name: [each.best, each.median] for name, each in found.items()}, indent=2))
        return
    print(f"{MEGABYTES} MB, milliseconds {'best':>22} {'median':>10}")
    for name, each in found.items():
        print(f"{name:34} {each.best:>10,} {each.median:>10,}")


if __name__ == "__main__":
    main()
