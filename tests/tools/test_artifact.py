"""The artifact tool: every spelling of a reference yields the result itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import ToolError
from noetl_stream.tools.artifact import Artifact, ResultFetch
from tests.contract.cache import KEY, flights
from tests.tools.conftest import Run, runner


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path)


@pytest.fixture
def run(cache: LocalCache) -> Run:
    return runner(Artifact(cache))


async def test_a_reference_becomes_the_result(run: Run, cache: LocalCache) -> None:
    ref = await cache.put_json(KEY, {"rows": [1, 2]})

    for spelling in (ref, ref.uri, asdict(ref), {"uri": ref.uri}):
        assert await run({"action": "get"}, input={"result_ref": spelling}) == {"rows": [1, 2]}


async def test_a_reference_to_a_table_becomes_the_table(run: Run, cache: LocalCache) -> None:
    ref = await cache.put_table(KEY, flights())

    for spelling in (ref, ref.uri, await cache.frame(ref)):
        assert (await run({}, input={"result_ref": spelling})).equals(flights())


async def test_a_result_that_was_followed_already_is_itself(run: Run) -> None:
    assert await run({}, input={"result_ref": {"rows": []}}) == {"rows": []}


async def test_what_is_no_reference_is_refused(run: Run) -> None:
    with pytest.raises(ToolError, match="'/etc/passwd' is no reference into the cache") as refused:
        await run({}, input={"result_ref": "/etc/passwd"})
    assert (refused.value.kind, refused.value.retryable) == ("client_error", False)


async def test_a_missing_reference_is_told(run: Run) -> None:
    with pytest.raises(ToolError, match="artifact needs an input `result_ref`") as missing:
        await run({})
    assert missing.value.kind == "validation"


async def test_result_fetch_takes_the_reference_as_a_key_too(cache: LocalCache) -> None:
    ref = await cache.put_json(KEY, [1, 2])
    fetch = runner(ResultFetch(cache))

    for config in ({"result_ref": ref.uri}, {"ref": ref.uri}, {"uri": ref.uri}):
        assert await fetch(config) == [1, 2]
    assert await fetch({}, input={"ref": ref.uri}) == [1, 2]


async def test_result_fetch_needs_a_reference(cache: LocalCache) -> None:
    with pytest.raises(
        ToolError, match=r"^result_fetch needs an input `result_ref`; pass the `_ref`"
    ) as refused:
        await runner(ResultFetch(cache))({})
    assert refused.value.kind == "validation"
