"""`cache expire` on an installation that stands still: what may go is told, and goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.names import name_of
from noetl_stream.core.events import BlockId
from noetl_stream.ports.frames import FrameKey
from tests.cli.commands import noetl, written
from tests.cli.documents import HELLO

KEY = FrameKey(execution=7, block=BlockId("load", 0, 0), attempt=0)


async def _expired(root: Path) -> str:
    """An object whose time was over long ago."""
    cache = LocalCache(root)
    ref = await cache.put_json(KEY, {"n": 1})
    await cache.expire(KEY, [ref], 1_700_000_000.0)
    await cache.close()
    return name_of(ref)


@pytest.mark.slow
def test_what_may_go_is_told_and_then_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ran = noetl("run", written(tmp_path, "hello.yaml", HELLO), "--data", data, "--quiet")
    assert ran.code == 0, ran.err
    name = asyncio.run(_expired(data / "cache"))

    told = noetl("cache", "expire", "--data", data, "--dry-run")
    assert (told.code, told.out.strip()) == (0, "objects that would go: 1; kept for executions that live: 0")
    assert (data / "cache" / name).exists()

    done = noetl("cache", "expire", "--data", data, "--json")
    assert done.json() == {"expired": [name], "needed": [], "removed": True}
    assert not (data / "cache" / name).exists()


@pytest.mark.slow
def test_where_there_is_no_installation_nothing_is_swept(tmp_path: Path) -> None:
    ended = noetl("cache", "expire", "--data", tmp_path / "none")

    assert ended.code == 2
    assert "there is no installation in" in ended.err
