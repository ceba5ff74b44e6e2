"""`effects: at_most_once`: whoever claims an effect runs it, whoever comes second does not, and nobody tries it again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.tier import Tier
from noetl_stream.core.events import BlockCompleted, BlockContested, BlockFailed, BlockParked, Report, Sleep
from noetl_stream.core.messages import Offer
from noetl_stream.core.values import Ref
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.ports.tools import Call, Park
from noetl_stream.worker.block import run_block
from noetl_stream.worker.claims import TO_REPORT, UNTIMED
from tests.cache.s3 import S3, s3_server
from tests.worker.stage import Act, on_stage, plan_of, played, tools_of

ONCE = "- {step: pay, spec: {effects: at_most_once}, tool: {kind: act, say: 1}}"


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    if request.param == "disk":
        return LocalCache(tmp_path / "shared")
    s3: S3 = request.getfixturevalue("bucket")
    return ObjectCache(s3.store(s3.new_bucket()), Tier(tmp_path / "tier", 1 << 20), place="the store")


def offered(document: str) -> Offer:
    return on_stage(document, None, Act()).log.offer("pay")  # type: ignore[arg-type]


async def ran(document: str, offer: Offer, cache: Cache, act: Act, run: str) -> Report:
    return await run_block(plan=plan_of(document), offer=offer, tools=tools_of(act), cache=cache, run_id=run)


async def test_of_two_workers_that_race_for_a_block_one_runs_its_tool(store: Cache) -> None:
    act = Act()

    reports = await asyncio.gather(*(ran(ONCE, offered(ONCE), store, act, f"w{n}/1") for n in range(8)))

    assert len(act.calls) == 1
    assert sorted(type(each).__name__ for each in reports) == ["BlockCompleted", *["BlockContested"] * 7]


async def test_a_contestant_tells_of_the_effect_and_until_when_its_outcome_is_awaited(store: Cache) -> None:
    document = ONCE.replace("say: 1", "say: 1, timeout: 20")
    act, before = Act(), time.time()
    await ran(document, offered(document), store, act, "one")

    contested = await ran(document, offered(document), store, act, "two")

    assert isinstance(contested, BlockContested)
    assert (contested.task, contested.effect) == ("pay", act.calls[0].effect_key)
    assert before + 20 + TO_REPORT <= contested.deadline <= time.time() + 20 + TO_REPORT


async def test_a_run_without_a_timeout_is_waited_for_so_long(cache: Cache) -> None:
    await ran(ONCE, offered(ONCE), cache, Act(), "one")

    contested = await ran(ONCE, offered(ONCE), cache, Act(), "two")

    assert isinstance(contested, BlockContested)
    assert contested.deadline == pytest.approx(time.time() + UNTIMED + TO_REPORT, abs=5)


async def test_the_next_attempt_does_not_cause_the_effect_either(cache: Cache) -> None:
    act = Act()
    await ran(ONCE, offered(ONCE), cache, act, "one")

    second = await ran(ONCE, replace(offered(ONCE), attempt=1), cache, act, "two")

    assert isinstance(second, BlockContested)
    assert len(act.calls) == 1


async def test_what_stands_before_the_effect_may_run_again(cache: Cache) -> None:
    """The claim is the task's, not the block's: a worker that died before it harmed nothing."""
    document = (
        "- {step: pay, tool: [{name: look, kind: act, say: look},"
        " {name: charge, kind: act, say: charge, spec: {effects: at_most_once}}]}"
    )
    act = Act()
    await ran(document, offered(document), cache, act, "one")

    contested = await ran(document, offered(document), cache, act, "two")

    assert isinstance(contested, BlockContested)
    assert (contested.task, act.said) == ("charge", ["look", "charge", "look"])


async def test_a_rule_that_retries_it_fails_it(cache: Cache) -> None:
    document = (
        "- {step: pay, spec: {effects: at_most_once, policy: {rules: [{else: {then: {do: retry}}}]}},"
        " tool: {kind: act}}"
    )

    def refuse(call: Call) -> Any:
        raise ToolError("no answer", kind="connection", retryable=True)

    stage = await played(document, cache, Act(refuse))

    assert len(stage.act.calls) == 1
    assert stage.outcome.error.kind == "connection"
    assert stage.log.execution.ended.status == "FAILED"  # type: ignore[union-attr]


async def test_a_jump_back_to_it_is_an_effect_of_its_own(cache: Cache) -> None:
    document = (
        "- {step: pay, tool: [{name: charge, kind: act, say: 1, spec: {effects: at_most_once}},"
        " {name: more, kind: act, say: 2, spec: {policy: {rules:"
        " [{when: '{{ iter.n is not defined }}', then: {do: jump, to: charge, set: {iter.n: 1}}}]}}}]}"
    )

    stage = await played(document, cache)

    assert stage.act.said == [1, 2, 1, 2]


async def test_each_item_of_a_tasks_own_loop_is_an_effect_of_its_own(cache: Cache) -> None:
    document = (
        "- {step: pay, spec: {effects: at_most_once},"
        " tool: [{name: each, kind: act, say: '{{ item }}', iterator: {items: [1, 2]}}]}"
    )
    act = Act()
    await ran(document, offered(document), cache, act, "one")

    again = await ran(document, offered(document), cache, act, "two")

    assert act.said == [1, 2]
    assert isinstance(again, BlockContested)


async def test_a_task_that_parked_goes_on_by_whoever_is_given_its_next_segment(cache: Cache) -> None:
    act = Act(lambda call: "done" if call.answered else Park(wait=Sleep(until=0.0)))
    parked = await ran(ONCE, offered(ONCE), cache, act, "one")
    assert isinstance(parked, BlockParked)
    woken = replace(offered(ONCE), segment=1, resume=parked.resume, answered=True, answer={"status": "WOKEN"})

    ended = [await ran(ONCE, woken, cache, act, run) for run in ("two", "three")]

    assert [type(each) for each in ended] == [BlockCompleted, BlockContested]


async def test_a_claim_that_cannot_be_made_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("no folder")
    act = Act()

    failed = await ran(ONCE, offered(ONCE), LocalCache(tmp_path), act, "one")

    assert act.calls == []
    assert isinstance(failed, BlockFailed)
    assert (failed.error.kind, failed.retry) == ("server_error", None)


async def test_a_claim_that_cannot_be_read_runs_nothing(tmp_path: Path) -> None:
    act, cache = Act(), LocalCache(tmp_path)
    await ran(ONCE, offered(ONCE), cache, act, "one")
    (claim,) = (tmp_path / "claims").iterdir()
    claim.write_text("")

    failed = await ran(ONCE, offered(ONCE), cache, act, "two")

    assert len(act.calls) == 1
    assert isinstance(failed, BlockFailed)
    assert "find out whether its effect happened" in failed.error.message


class Brittle(LocalCache):
    """Takes claims, and no results."""

    async def put_json(self, key: FrameKey, value: Any, parts: Any = None) -> Ref:
        raise InfrastructureError("the cache does not answer; look at it")


async def test_an_effect_whose_result_cannot_be_kept_is_not_put_off(tmp_path: Path) -> None:
    """A block that the platform failed is offered again, unless it has caused what may happen once."""
    act = Act(lambda call: "x" * 100_000)

    failed = await ran(ONCE, offered(ONCE), Brittle(tmp_path), act, "one")

    assert isinstance(failed, BlockFailed)
    assert (failed.retry, failed.error.retryable) == (None, False)
    assert "has been caused, but the outcome cannot be kept" in failed.error.message


async def test_the_claim_names_the_run_that_made_it(tmp_path: Path) -> None:
    cache, act = LocalCache(tmp_path), Act()
    await ran(ONCE, offered(ONCE), cache, act, "one")

    (claim,) = (tmp_path / "claims").iterdir()

    assert json.loads(claim.read_text())["run"] == "one"
    assert act.calls[0].effect_key in claim.name
