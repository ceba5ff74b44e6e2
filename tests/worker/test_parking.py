"""A block that waits for something outside: what it leaves behind, and how another slot goes on from there."""

from __future__ import annotations

import json

import polars as pl
import pytest

from noetl_stream.core.events import BlockCompleted, BlockParked, Child, Sleep
from noetl_stream.core.values import Ref
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Park
from noetl_stream.wire.values import encode_value
from noetl_stream.worker.block import run_block
from tests.worker.stage import Act, Stage, on_stage, played, tools_of

CALL = "{name: call, kind: playbook, path: child, input: {n: '{{ n }}'}}"


def identities(stage: Stage) -> list[str]:
    return [start.child.identity for start in stage.children]


async def test_a_child_gets_the_tasks_input_and_its_result_is_the_tasks(cache: Cache) -> None:
    stage = await played(f"workload: {{n: 3}}\nworkflow:\n- {{step: s, tool: {CALL}}}", cache)
    assert [start.child.input for start in stage.children] == [{"n": 3}]

    await stage.answer(result={"rows": 9}).play()

    assert stage.results["s"] == {"rows": 9}
    assert [offer.segment for offer in stage.offers] == [0, 1]


async def test_a_child_that_failed_fails_its_task(cache: Cache) -> None:
    stage = await played(f"workload: {{n: 3}}\nworkflow:\n- {{step: s, tool: {CALL}}}", cache)

    await stage.answer(status="FAILED").play()

    assert stage.log.error is not None
    assert (stage.log.error.kind, stage.log.error.code) == ("playbook", "FAILED")


@pytest.mark.parametrize("delay", [0, 60])
async def test_each_try_starts_a_child_of_its_own(cache: Cache, delay: int) -> None:
    """In the slot or after a backoff: the child of the try before has ended and would never answer again."""
    rules = f"spec: {{policy: {{rules: [{{when: '{{{{ output.error }}}}', then: {{do: retry, delay: {delay}}}}}]}}}}"
    stage = await played(f"- {{step: s, tool: {{kind: playbook, path: child, {rules}}}}}", cache)

    await stage.answer(status="FAILED").play()
    await stage.answer(status="FAILED").play()
    await stage.answer(result=1).play()

    assert len(set(identities(stage))) == 3
    assert stage.results["s"] == 1


async def test_each_visit_starts_a_child_of_its_own(cache: Cache) -> None:
    rules = "spec: {policy: {rules: [{when: '{{ result.more }}', then: {do: jump, to: s}}]}}"
    stage = await played(f"- {{step: s, tool: {{kind: playbook, path: child, {rules}}}}}", cache)

    await stage.answer(result={"more": True}).play()
    await stage.answer(result={"more": False}).play()

    assert len(set(identities(stage))) == 2
    assert stage.results["s"] == {"more": False}


async def test_a_redelivered_offer_meets_the_child_that_it_started(cache: Cache) -> None:
    stage = await played("- {step: s, tool: {kind: playbook, path: child}}", cache)
    again = await run_block(
        plan=stage.log.plan, offer=stage.offers[0], tools=tools_of(stage.act), cache=cache, run_id="other"
    )

    assert isinstance(again, BlockParked)
    assert isinstance(again.wait, Child)
    assert again.wait.identity == identities(stage)[0]


async def test_large_results_wait_in_the_cache_and_small_ones_in_the_log(cache: Cache) -> None:
    big = {"text": "x" * 5000}
    act = Act(lambda call: big if call.config.say == "big" else call.config.say)
    stage = await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: big, set: {ctx.big: '{{ output }}', kept: '{{ output }}', iter.n: 1}}\n"
        "    - {name: call, kind: playbook, path: child}\n"
        "    - {name: last, kind: act, say: '{{ [a == kept, a == ctx.big, iter.n, call, output.data] }}'}\n",
        cache,
        act,
    )

    parked = stage.outcome
    assert isinstance(parked, BlockParked)
    assert len(encode_value(parked.resume)) < 3000
    assert isinstance(parked.resume["tasks"]["a"], Ref)
    assert parked.resume["iter"] == {"n": 1}

    await stage.answer(result=5).play()
    assert act.said[-1] == [True, True, 1, 5, 5]


async def test_a_table_that_was_set_survives_the_wait(cache: Cache) -> None:
    act = Act(lambda call: pl.DataFrame({"n": range(500)}) if call.config.say == "t" else call.config.say)
    stage = await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: t, set: {ctx.t: '{{ output }}', w: '{{ output }}'}}\n"
        "    - {name: call, kind: playbook, path: child}\n"
        "    - {name: last, kind: act, say: '{{ [a | length, ctx.t | length, w[499].n] }}'}\n",
        cache,
        act,
    )

    await stage.answer(result=5).play()

    assert act.said[-1] == [500, 500, 499]
    assert isinstance(stage.ctx["t"], Ref)


async def test_tasks_before_a_wait_are_not_run_again(cache: Cache) -> None:
    act = Act()
    stage = await played(
        f"workload: {{n: 1}}\nworkflow:\n- {{step: s, tool: [{{name: a, kind: act, say: 1}}, {CALL}]}}",
        cache,
        act,
    )
    await stage.answer(result=2).play()

    assert act.said == [1]
    assert stage.results["s"] == 2
    assert stage.outcome.writes == {}


async def test_a_tool_that_sleeps_is_called_again_when_its_time_has_come(cache: Cache) -> None:
    def does(call: Call) -> object:
        return "slept" if call.answered else Park(wait=Sleep(until=stage.log.now + 3600))

    act = Act(does)
    stage = on_stage("- {step: s, tool: {kind: act}}", cache, act)
    await stage.play()

    assert [type(outcome) for outcome in stage.outcomes] == [BlockParked, BlockCompleted]
    assert stage.results["s"] == "slept"


async def test_notes_are_json(cache: Cache) -> None:
    stage = await played(
        f"workload: {{n: 1}}\nworkflow:\n- {{step: s, tool: [{{name: a, kind: act, say: {{x: [1]}}}}, {CALL}]}}",
        cache,
    )

    assert json.loads(encode_value(stage.outcome.resume))["tasks"] == {"a": {"x": [1]}}
