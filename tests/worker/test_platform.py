"""What the platform fails to do for a block costs the block time, not its life; and its rules see what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockCompleted, BlockFailed
from noetl_stream.core.values import Ref
from noetl_stream.ports.frames import FrameKey
from tests.worker.stage import Act, played
from tests.worker.test_worker import Shop, offer, shop

MISSING = Ref(uri="cache:7/load/0/0/0/result-0123456789abcdef.json", bytes=9, sha256="", format="json")


def out_of_order(tmp_path: Path) -> LocalCache:
    """A cache whose folder cannot be used."""
    (tmp_path / "broken").touch()
    return LocalCache(tmp_path / "broken")


async def outcome(here: Shop, **more: Any) -> BlockFailed | BlockCompleted:
    await here.accept(offer(**more))
    (fact,) = await here.facts(1)
    assert isinstance(fact, BlockFailed | BlockCompleted)
    return fact


async def test_a_block_that_cannot_be_hydrated_is_put_off_with_its_notes(tmp_path: Path) -> None:
    failed = await outcome(shop(out_of_order(tmp_path)), ctx={"x": MISSING}, resume={"t": 1})

    assert isinstance(failed, BlockFailed)
    assert (failed.error.kind, failed.error.retryable) == ("server_error", True)
    assert failed.retry is not None
    assert (failed.retry.after, failed.retry.resume) == (10.0, {"t": 1})


@pytest.mark.parametrize("life", [{"attempt": 5}, {"answered": True, "answer": 1}])
async def test_it_is_put_off_so_often_and_never_at_the_cost_of_an_answer(
    tmp_path: Path, life: dict[str, Any]
) -> None:
    failed = await outcome(shop(out_of_order(tmp_path)), ctx={"x": MISSING}, **life)

    assert isinstance(failed, BlockFailed)
    assert failed.retry is None


async def test_a_damaged_input_fails_the_block_and_is_named(tmp_path: Path) -> None:
    cache, first = LocalCache(tmp_path / "cache"), offer()
    key = FrameKey(execution=first.execution, block=first.block, attempt=0)
    ref = await cache.put_json(key, {"amount": 1})
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_bytes(path.read_bytes().replace(b"1", b"9"))

    failed = await outcome(shop(cache), ctx={"x": ref})

    assert isinstance(failed, BlockFailed)
    assert (failed.error.retryable, failed.retry) == (False, None)
    assert ref.uri in failed.error.message


async def test_a_tasks_rules_see_that_its_result_could_not_be_stored(tmp_path: Path) -> None:
    """Stored the second time: the rule asked for a retry, and somebody mended the folder meanwhile."""
    cache, tries = out_of_order(tmp_path), list[int]()

    def table(call: Any) -> Any:
        tries.append(1)
        if len(tries) == 2:
            (tmp_path / "broken").unlink()
        return pa.table({"n": [1, 2]})

    rule = (
        "{when: '{{ output.error.kind == \"server_error\" and output.error.retryable }}', then: {do: retry}}"
    )
    steps = f"- {{step: load, tool: {{kind: act, spec: {{policy: {{rules: [{rule}]}}}}}}}}"
    stage = await played(steps, cache, Act(table))

    assert len(tries) == 2
    assert isinstance(stage.outcomes[-1], BlockCompleted)
