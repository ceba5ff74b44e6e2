"""A block's tasks: their order, what each reads of the one before, and where its values go."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from noetl_stream.core.events import BlockCompleted, BlockFailed
from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Done
from tests.worker.stage import Act, on_stage, played


async def test_tasks_run_in_order_and_each_reads_the_envelope_before_it(cache: Cache) -> None:
    act = Act(lambda call: {"n": call.config.say})

    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: first, kind: act, say: 1}\n"
        '    - {name: second, kind: act, say: "{{ output.data.n + 1 }}"}\n'
        '    - {name: third, kind: act, say: "{{ [output.status, first.n, second.n] }}"}\n',
        cache,
        act,
    )

    assert act.said == [1, 2, ["ok", 1, 2]]
    assert stage.log.status == "COMPLETED"


async def test_before_the_first_task_there_is_no_output(cache: Cache) -> None:
    act = Act()

    await played('- {step: load, tool: {kind: act, say: "{{ output is defined }}"}}', cache, act)

    assert act.said == [False]


async def test_a_list_of_tasks_keeps_each_ones_result(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: one, kind: act, say: 1}\n"
        "    - {name: two, kind: act, say: {n: 2}}\n"
        "  set: {ctx.one: '{{ load.results.one }}', ctx.n: '{{ load.n }}'}\n",
        cache,
    )

    assert stage.results["load"] == {"n": 2}
    assert stage.ctx == {"one": 1, "n": 2}


async def test_a_lone_tool_has_its_result_and_nothing_beside_it(cache: Cache) -> None:
    stage = await played("- {step: load, tool: {kind: act, say: {n: 2}}}", cache)

    assert stage.results["load"] == {"n": 2}


async def test_a_results_key_of_its_own_wins(cache: Cache) -> None:
    stage = await played("- {step: load, tool: [{name: a, kind: act, say: {results: mine}}]}", cache)

    assert stage.results["load"] == {"results": "mine"}


async def test_inputs_lie_over_each_other_task_over_step_over_arc(cache: Cache) -> None:
    act = Act()

    await played(
        "- step: start\n"
        "  tool: {kind: noop}\n"
        "  next: [{step: load, args: {a: arc, b: arc, c: arc}}]\n"
        "- step: load\n"
        "  input: {b: step, c: step}\n"
        "  tool: {kind: act, input: {c: task}, say: '{{ [input.a, input.b, input.c] }}'}\n",
        cache,
        act,
    )

    assert dict(act.calls[0].input) == {"a": "arc", "b": "step", "c": "task"}
    assert act.said == [["arc", "step", "step"]]


async def test_a_tasks_config_reads_its_own_input_too(cache: Cache) -> None:
    act = Act()

    await played(
        "- step: load\n"
        "  input: {a: step}\n"
        "  tool: {kind: act, input: {b: 'task, {{ input.a }}'}, say: '{{ input.b }}'}\n",
        cache,
        act,
    )

    assert act.said == ["task, step"]


async def test_what_a_task_sets_later_tasks_read_and_the_outcome_carries(cache: Cache) -> None:
    act = Act()

    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: 1, set: {ctx.x: '{{ output }}', iter.y: 2, step.z: 3, w: 4}}\n"
        "    - {name: b, kind: act, say: '{{ [ctx.x, iter.y, step.z, w, x] }}'}\n"
        "- step: after\n"
        "  tool: {kind: act, say: '{{ [ctx.x, w is defined, iter.y is defined, step.z is defined] }}'}\n".replace(
            "- step: after", "  next: after\n- step: after", 1
        ),
        cache,
        act,
    )

    assert act.said == [1, [1, 2, 3, 4, 1], [1, False, False, False]]
    first = stage.outcomes[0]
    assert isinstance(first, BlockCompleted)
    assert first.writes == {"ctx.x": 1, "iter.y": 2, "step.z": 3}


async def test_one_set_is_rendered_as_a_whole_before_it_is_written(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: 1, set: {ctx.a: left, ctx.b: right}}\n"
        "    - {name: b, kind: act, say: 1, set: {ctx.a: '{{ ctx.b }}', ctx.b: '{{ ctx.a }}'}}\n",
        cache,
    )

    assert stage.ctx == {"a": "right", "b": "left"}


async def test_a_rules_set_is_written_before_the_tasks_own(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    kind: act\n"
        "    say: 1\n"
        "    spec: {policy: {rules: [{when: true, then: {do: continue, set: {ctx.x: rule, ctx.y: rule}}}]}}\n"
        '    set: {ctx.x: "{{ ctx.y }} then task"}\n',
        cache,
    )

    assert stage.ctx == {"x": "rule then task", "y": "rule"}


async def test_a_failed_pipeline_keeps_what_was_set_before_it_failed(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: 1, set: {ctx.x: 1}}\n"
        "    - {name: b, kind: act, say: '{{ 1 / 0 }}'}\n",
        cache,
    )

    assert stage.log.status == "FAILED"
    assert stage.ctx == {"x": 1}


async def test_an_invalid_config_names_the_task_the_key_and_the_place(cache: Cache) -> None:
    stage = await played("- {step: load, tool: {kind: act, times: \"{{ 'many' }}\"}}", cache)

    error = stage.log.error
    assert error is not None
    assert (error.kind, error.step) == ("validation", "load")
    assert error.message.startswith("task 'load' (act): times: Input should be a valid integer")
    assert "sales.yaml:5:22" in error.message


async def test_a_template_that_fails_is_a_validation_error_at_its_place(cache: Cache) -> None:
    stage = await played('- {step: load, tool: {kind: act, say: "{{ 1 / 0 }}"}}', cache)

    error = stage.log.error
    assert error is not None
    assert error.kind == "validation"
    assert "division by zero" in error.message
    assert error.place is not None


async def test_a_kind_that_is_not_installed_fails_only_if_it_is_reached(cache: Cache) -> None:
    steps = "- {step: start, tool: {kind: act}, next: [{step: far, when: '{{ workload.go }}'}]}\n"
    document = (
        f"workload: {{go: false}}\nworkflow:\n{steps}- {{step: far, tool: {{kind: snowflake, query: x}}}}\n"
    )

    assert (await played(document, cache)).log.status == "COMPLETED"
    reached = (await played(document, cache, payload={"go": True})).log
    assert reached.error is not None
    assert reached.error.kind == "not_installed"


async def test_a_tool_this_worker_lacks_is_not_installed(cache: Cache) -> None:
    stage = await played("- {step: load, tool: {kind: http, url: 'http://localhost'}}", cache)

    assert stage.log.error is not None
    assert stage.log.error.kind == "not_installed"
    assert "'http'" in stage.log.error.message


@pytest.mark.parametrize("fault", [RuntimeError("on fire"), SystemExit(3), asyncio.CancelledError()])
async def test_whatever_a_tool_raises_is_its_tasks_error(cache: Cache, fault: BaseException) -> None:
    def broken(_: Call) -> Any:
        raise fault

    stage = await played("- {step: load, tool: {kind: act}}", cache, Act(broken))

    error = stage.log.error
    assert error is not None
    assert (error.kind, error.message) == ("python", f"{type(fault).__name__}: {fault}")
    assert error.trace is not None
    assert "in broken" in error.trace


async def test_a_cancelled_block_ends_although_its_tool_could_raise_the_same(cache: Cache) -> None:
    began = asyncio.Event()

    async def for_ever(_: Call) -> None:
        began.set()
        await asyncio.Event().wait()

    stage = on_stage("- {step: load, tool: {kind: act}}", cache, Act(for_ever))
    block = asyncio.ensure_future(stage.play())
    await began.wait()

    block.cancel()

    with pytest.raises(asyncio.CancelledError):
        await block


async def test_a_cache_that_cannot_be_reached_is_worth_another_try(cache: Cache) -> None:
    def broken(_: Call) -> Any:
        raise InfrastructureError("the cache cannot be used; check space")

    stage = await played("- {step: load, tool: {kind: act}}", cache, Act(broken))

    assert stage.log.error is not None
    assert (stage.log.error.kind, stage.log.error.retryable) == ("server_error", True)


async def test_a_task_that_outlives_its_timeout_fails_and_is_cancelled(cache: Cache) -> None:
    ended: list[str] = []

    async def slow(_: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    stage = await played("- {step: load, tool: {kind: act, timeout: 0.01}}", cache, Act(slow))

    error = stage.log.error
    assert error is not None
    assert (error.kind, error.retryable, ended) == ("timeout", True, ["cleaned up"])
    assert "task 'load' did not end within 0.01 s" in error.message


async def test_a_timeout_may_be_a_template(cache: Cache) -> None:
    act = Act()

    await played(
        "workload: {patience: 7}\nworkflow:\n- {step: load, tool: {kind: act, timeout: '{{ workload.patience }}'}}",
        cache,
        act,
    )

    assert act.calls[0].timeout == 7.0


async def test_an_error_carries_what_the_tool_returned_all_the_same(cache: Cache) -> None:
    def refused(_: Call) -> Any:
        raise ToolError("404", kind="client_error", status=404, value={"reason": "no such city"})

    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    kind: act\n"
        "    spec: {policy: {rules: [{when: '{{ output.error.status == 404 }}', then: {do: continue}}]}}\n"
        "    set: {ctx.why: '{{ output.data.reason }}', ctx.status: '{{ output.http.status }}'}\n",
        cache,
        Act(refused),
    )

    assert stage.ctx == {"why": "no such city", "status": 404}
    assert stage.log.status == "COMPLETED"
    assert stage.results["load"]["error"]["kind"] == "client_error"


async def test_an_error_with_what_is_no_json_is_the_tasks_error_and_its_rules_apply(cache: Cache) -> None:
    def refused(_: Call) -> Any:
        raise ToolError("404", kind="client_error", status=404, value={"reason": object()})

    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    kind: act\n"
        "    spec: {policy: {rules: [{when: '{{ output.error.status == 404 }}', then: {do: continue}}]}}\n",
        cache,
        Act(refused),
    )

    assert isinstance(stage.outcome, BlockCompleted)
    error = stage.results["load"]["error"]
    assert error["kind"] == "client_error"
    assert error["message"].startswith("404 (what it returned with that is lost: the tool returned")


async def test_an_error_whose_result_is_lost_still_says_where_in_the_code_it_was(cache: Cache) -> None:
    def refused(_: Call) -> Any:
        raise ToolError("too bad", kind="python", line=2, value={"reason": object()})

    stage = await played(
        "- step: load\n  tool:\n    kind: act\n    code: |\n      one\n      two\n", cache, Act(refused)
    )

    assert stage.log.error is not None
    assert re.match(r"too bad, at \S+:\d+ \(what it returned with that is lost", stage.log.error.message)


async def test_what_is_no_json_is_the_tasks_error_and_its_rules_apply(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: odd, kind: act, spec: {policy: {rules: [{else: {do: continue}}]}}}\n"
        "    - {name: next, kind: noop, result: '{{ output.error.message }}'}\n",
        cache,
        Act(lambda _: {"when": object()}),
    )

    assert isinstance(stage.outcome, BlockCompleted)
    assert "not a JSON value" in stage.results["load"]


async def test_the_head_of_an_answer_is_read_by_rules_and_arcs(cache: Cache) -> None:
    stage = await played(
        "- step: load\n  tool: {kind: act}\n  set: {ctx.status: '{{ output.http.status }}'}\n",
        cache,
        Act(lambda _: Done(value=1, http={"status": 201, "headers": {}})),
    )

    assert stage.ctx == {"status": 201}


async def test_names_in_one_block_are_found_nearest_first(cache: Cache) -> None:
    """A task shadows ctx, ctx shadows workload, and a task that has not run shadows nothing."""
    act = Act()

    await played(
        "workload: {city: Oslo, other: x}\n"
        "workflow:\n"
        "- step: start\n"
        "  tool: {kind: noop, set: {ctx.other: y}}\n"
        "  next: load\n"
        "- step: load\n"
        "  tool:\n"
        "    - {name: first, kind: act, say: '{{ [city, other] }}'}\n"
        "    - {name: city, kind: act, say: Rome}\n"
        "    - {name: last, kind: act, say: '{{ city }}'}\n",
        cache,
        act,
    )

    assert act.said == [["Oslo", "y"], "Rome", "Rome"]


async def test_an_effects_key_is_stable_over_tries_and_differs_between_visits(cache: Cache) -> None:
    def does(call: Call) -> Any:
        if len(act.calls) in (1, 3):
            raise ToolError("once more", kind="server_error", retryable=True)
        return len(act.calls)

    act = Act(does)
    await played(
        "- step: load\n"
        "  tool:\n"
        "    kind: act\n"
        "    spec:\n"
        "      policy:\n"
        "        rules:\n"
        "          - {when: \"{{ output.status == 'error' }}\", then: {do: retry, attempts: 2}}\n"
        "          - {when: '{{ result < 4 }}', then: {do: jump, to: load}}\n",
        cache,
        act,
    )

    first, again, second, second_again = [call.effect_key for call in act.calls]
    assert first == again
    assert second == second_again
    assert first != second


async def test_two_tasks_of_a_pipeline_write_under_two_keys(cache: Cache) -> None:
    act = Act()

    await played("- {step: load, tool: [{name: a, kind: act}, {name: b, kind: act}]}", cache, act)

    assert len({call.effect_key for call in act.calls}) == 2


async def test_a_python_context_holds_what_the_block_was_sent(cache: Cache) -> None:
    act = Act()

    await played(
        "workload: {city: Oslo}\n"
        "workflow:\n"
        "- {step: start, tool: {kind: noop, result: 5}, set: {ctx.day: 1}, next: load}\n"
        "- {step: load, tool: {kind: act, say: '{{ [city, day, start] }}'}}\n",
        cache,
        act,
    )

    assert dict(act.calls[0].context) == {"city": "Oslo", "day": 1, "start": 5, "ctx": {"day": 1}}


async def test_an_unknown_block_of_a_pipeline_reports_no_secret(cache: Cache) -> None:
    """A failing template names its text, never the values it read."""
    stage = await played(
        "workload: {pin: s3cret}\nworkflow:\n- {step: load, tool: {kind: act, say: '{{ pin + 1 }}'}}", cache
    )

    assert isinstance(stage.outcome, BlockFailed)
    assert "s3cret" not in str(stage.outcome)


async def test_a_steps_own_inputs_are_read_by_its_set_and_its_arcs(cache: Cache) -> None:
    """They lie over what the arc brought, on the owner's side as in the block."""
    stage = await played(
        "- step: load\n"
        "  input: {x: '{{ 2 + 3 }}'}\n"
        "  tool: {kind: noop}\n"
        "  set: {ctx.x: '{{ input.x }}'}\n"
        "  next: {arcs: [{step: sum, when: '{{ input.x == 5 }}', args: {y: '{{ input.x }}'}}]}\n"
        "- step: sum\n"
        "  input: {z: '{{ input.y }}'}\n"
        "  set: {ctx.all: '{{ input }}'}\n"
        "  next: []\n",
        cache,
    )

    assert stage.log.ctx == {"x": 5, "all": {"y": 5, "z": 5}}
