"""What a task's rules make of how it ended: on, again, elsewhere, out, or down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from noetl_stream.core.events import BlockCompleted, BlockFailed
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call
from noetl_stream.worker import pipeline
from noetl_stream.worker.policy import backoff
from tests.worker.stage import Act, on_stage, played

BUSY = ToolError("the server is busy", kind="server_error", retryable=True, status=503)


ON_ERROR = "{when: '{{ output.error }}', then: %s}"


def failing(times: int, error: ToolError = BUSY) -> Act:
    """Fails so many times, then says `done`."""

    def does(_: Call) -> Any:
        if len(act.calls) <= times:
            raise error
        return "done"

    act = Act(does)
    return act


def load(rules: str, more: str = "") -> str:
    return f"- {{step: load, tool: {{kind: act, {more} spec: {{policy: {{rules: [{rules}]}}}}}}}}\n"


async def test_without_rules_an_error_fails_the_step(cache: Cache) -> None:
    stage = await played("- {step: load, tool: {kind: act}}", cache, failing(9))

    assert stage.log.error is not None
    assert (stage.log.error.kind, stage.log.error.status, stage.outcome.tries) == ("server_error", 503, 1)


async def test_the_first_rule_that_matches_decides(cache: Cache) -> None:
    rules = (
        "{when: \"{{ output.status == 'ok' }}\", then: {do: fail}}, "
        '{when: "{{ output.error.status == 503 }}", then: {do: continue, set: {ctx.by: second}}}, '
        "{else: {do: fail}}"
    )
    stage = await played(load(rules), cache, failing(9))

    assert stage.ctx == {"by": "second"}
    assert stage.log.status == "COMPLETED"


async def test_a_task_that_failed_and_was_continued_is_done_with_its_envelope(cache: Cache) -> None:
    stage = await played(load("{else: {do: continue}}"), cache, failing(9))

    result = stage.results["load"]
    assert (result["status"], result["error"]["kind"]) == ("error", "server_error")
    assert stage.log.execution.finished["load"].status == "done"


async def test_a_rule_may_fail_what_went_well(cache: Cache) -> None:
    stage = await played(load("{when: '{{ result == 3 }}', then: {do: fail}}", "say: 3,"), cache)

    assert stage.log.error is not None
    assert stage.log.error.message == "task 'load' went well, but its rule says `fail`"


async def test_a_retry_without_delay_stays_in_its_slot(cache: Cache) -> None:
    stage = await played(load(ON_ERROR % "{do: retry, attempts: 5}"), cache, failing(2))

    assert [type(outcome) for outcome in stage.outcomes] == [BlockCompleted]
    assert (stage.outcome.tries, stage.results["load"]) == (3, "done")


async def test_attempts_count_all_tries_and_the_last_failure_stands(cache: Cache) -> None:
    act = failing(9)
    stage = await played(load(ON_ERROR % "{do: retry, attempts: 2}"), cache, act)

    assert len(act.calls) == 2
    assert stage.log.error is not None
    assert stage.log.error.message == "the server is busy"


async def test_three_attempts_where_the_rule_does_not_say(cache: Cache) -> None:
    act = failing(9)
    await played(load("{else: {do: retry}}"), cache, act)

    assert len(act.calls) == 3


async def test_what_never_becomes_ready_fails_when_its_attempts_are_used_up(cache: Cache) -> None:
    """Nothing went wrong with the task itself, but what its rule waited for did not come."""
    act = Act(lambda _: {"ready": False})
    stage = await played(load("{when: '{{ not result.ready }}', then: {do: retry, attempts: 4}}"), cache, act)

    assert len(act.calls) == 4
    assert stage.log.error is not None
    assert stage.log.error.message == "task 'load' used up its 4 attempts"


async def test_attempts_and_delay_may_be_templates(cache: Cache) -> None:
    act = failing(9)
    document = "workload: {n: 2}\nworkflow:\n" + load("{else: {do: retry, attempts: '{{ workload.n }}'}}")
    await played(document, cache, act)

    assert len(act.calls) == 2


async def test_a_long_delay_frees_the_slot_and_goes_on_with_the_next_attempt(cache: Cache) -> None:
    act = failing(1)
    stage = await played(
        load(ON_ERROR % "{do: retry, delay: 60, set: {iter.seen: 1, ctx.seen: 1}}"), cache, act
    )

    failed, completed = stage.outcomes
    assert isinstance(failed, BlockFailed)
    assert failed.retry is not None
    assert failed.retry.after == 60
    assert [offer.attempt for offer in stage.offers] == [0, 1]
    assert isinstance(completed, BlockCompleted)
    assert completed.writes == {"ctx.seen": 1, "iter.seen": 1}


async def test_attempts_are_counted_over_slots(cache: Cache) -> None:
    act = failing(9)
    stage = await played(load(ON_ERROR % "{do: retry, attempts: 3, delay: 60}"), cache, act)

    assert len(act.calls) == 3
    assert stage.log.execution.finished["load"].tries == 3
    assert len({call.effect_key for call in act.calls}) == 1


async def test_a_server_may_ask_for_more_patience(cache: Cache) -> None:
    busy = ToolError("429", kind="rate_limit", retryable=True, status=429, retry_after=90)
    stage = await played(load(ON_ERROR % "{do: retry, delay: 10}"), cache, failing(1, busy))

    assert stage.outcomes[0].retry.after == 90  # type: ignore[union-attr]


async def test_the_retry_block_names_kinds_and_statuses(cache: Cache) -> None:
    block = "{step: load, tool: {kind: act, retry: {max_attempts: 5, retry_on_status: [503]}}}"
    other = ToolError("no", kind="client_error", status=400)

    assert (await played(f"- {block}", cache, failing(2))).results["load"] == "done"
    refused = failing(2, other)
    await played(f"- {block}", cache, refused)
    assert len(refused.calls) == 1


async def test_a_retry_goes_on_at_its_task_and_does_not_repeat_those_before(cache: Cache) -> None:
    def does(call: Call) -> Any:
        if call.config.say == "load" and len(act.calls) == 2:
            raise BUSY
        return call.config.say

    act = Act(does)
    await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: fetch, kind: act, say: fetch}\n"
        "    - name: load\n"
        "      kind: act\n"
        "      say: load\n"
        f"      spec: {{policy: {{rules: [{ON_ERROR % '{do: retry, delay: 60}'}]}}}}\n"
        "    - {name: last, kind: act, say: '{{ [fetch, load] }}'}\n",
        cache,
        act,
    )

    assert act.said == ["fetch", "load", "load", ["fetch", "load"]]


async def test_the_envelope_before_a_task_is_still_there_in_its_next_slot(cache: Cache) -> None:
    def does(call: Call) -> Any:
        if len(act.calls) == 2:
            raise BUSY
        return {"n": 7}

    act = Act(does)
    await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: fetch, kind: act}\n"
        "    - name: load\n"
        "      kind: act\n"
        "      say: '{{ output.data.n }}'\n"
        "      spec: {policy: {rules: [{when: '{{ output.error }}', then: {do: retry, delay: 60}}]}}\n",
        cache,
        act,
    )

    assert act.said == [None, 7, 7]


async def test_a_jump_goes_round_until_its_rule_no_longer_holds(cache: Cache) -> None:
    act = Act(lambda _: len(act.calls))
    stage = await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: page, kind: act}\n"
        "    - name: more\n"
        "      kind: noop\n"
        "      spec: {policy: {rules: [{when: '{{ page < 3 }}', then: {do: jump, to: page}}]}}\n",
        cache,
        act,
    )

    assert len(act.calls) == 3
    assert stage.outcome.tries == 6


async def test_a_task_that_jumps_to_itself_reads_its_newest_result_under_the_steps_name(cache: Cache) -> None:
    act = Act(lambda _: len(act.calls))
    await played(load("{when: '{{ load < 3 }}', then: {do: jump, to: load}}"), cache, act)

    assert len(act.calls) == 3


async def test_a_break_ends_the_pipeline_well(cache: Cache) -> None:
    act = Act()
    stage = await played(
        "- step: s\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: 1, spec: {policy: {rules: [{else: {do: break, set: {ctx.x: 1}}}]}}, set: {ctx.y: 2}}\n"
        "    - {name: b, kind: act, say: 2}\n",
        cache,
        act,
    )

    assert (act.said, stage.ctx, stage.log.status) == ([1], {"x": 1, "y": 2}, "COMPLETED")


async def test_a_pipeline_without_end_is_stopped(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MOVES", 50)
    stage = await played(load("{else: {do: jump, to: load}}"), cache)

    assert stage.log.error is not None
    assert "the pipeline made 50 moves; check its `jump` rules" in stage.log.error.message


async def test_a_pipeline_that_goes_round_lets_others_run(cache: Cache) -> None:
    """A tool that never waits must not starve its worker's heartbeats, nor its own cancellation."""
    act = Act()
    stage = on_stage(load("{else: {do: jump, to: load}}"), cache, act)
    block = asyncio.ensure_future(stage.play())
    for _ in range(20):
        await asyncio.sleep(0)

    block.cancel()

    with pytest.raises(asyncio.CancelledError):
        await block
    assert len(act.calls) < 50


async def test_what_is_not_ready_is_asked_again_after_a_long_delay(cache: Cache) -> None:
    act = Act(lambda _: {"ready": len(act.calls) > 1})
    stage = await played(load("{when: '{{ not result.ready }}', then: {do: retry, delay: 60}}"), cache, act)

    assert [type(outcome) for outcome in stage.outcomes] == [BlockFailed, BlockCompleted]
    assert stage.outcomes[0].error.message == (  # type: ignore[union-attr]
        "task 'load' went well, but its rule tries it again in 60 s"
    )
    assert stage.results["load"] == {"ready": True}


async def test_a_rule_that_cannot_be_evaluated_fails_the_task(cache: Cache) -> None:
    stage = await played(load("{when: '{{ result / 0 > 1 }}', then: {do: continue}}", "say: 1,"), cache)

    assert stage.log.error is not None
    assert stage.log.error.kind == "validation"


@pytest.mark.parametrize(
    ("kind", "waits"),
    [("fixed", [3, 3, 3]), ("linear", [3, 6, 9]), ("exponential", [3, 6, 12])],
)
def test_backoffs_grow_as_they_are_called(kind: Any, waits: list[float]) -> None:
    assert [backoff(kind, 3, tries, 0.0) for tries in (1, 2, 3)] == waits


def test_a_delay_as_written_is_kept_however_long() -> None:
    assert backoff("exponential", 100_000, 9, 0.5) == 100_000


def test_an_exponential_backoff_spreads_by_up_to_a_quarter() -> None:
    assert backoff("exponential", 4, 1, 0.999) == pytest.approx(5, rel=0.01)


def test_a_backoff_grows_up_to_a_day() -> None:
    """The two-thousandth doubling would overflow a float."""
    assert backoff("exponential", 1, 2000, 0.5) == backoff("linear", 1, 100_000, 0.5) == 86_400
