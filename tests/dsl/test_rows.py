"""Sentences of the language that no other test tells alone, each played from a document to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.dsl.kinds import ERROR_KINDS
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call
from tests.dsl.kinds import compiled, error, problems, warnings
from tests.dsl.reading import pipeline
from tests.worker.stage import Act, Stage, played


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path)


def failing(times: int = 1, **how: Any) -> Act:
    """A tool whose first calls fail."""
    given = {"kind": "server_error", "retryable": True, **how}

    def does(call: Call) -> Any:
        if len(act.calls) <= times:
            raise ToolError("the server is on fire", **given)
        return call.config.say

    act = Act(does)
    return act


async def test_a_step_ends_in_order(cache: LocalCache) -> None:
    """Result, `set`, arcs, the chosen arc's `set`, and only then the next step's input."""
    stage = await played(
        """
- step: a
  tool: {kind: act, say: 1}
  set: {ctx.seen: "{{ a + 1 }}"}
  next:
    arcs:
    - {step: b, when: "{{ ctx.seen == 2 }}", set: {ctx.seen: "{{ ctx.seen * 10 }}"}, args: {seen: "{{ ctx.seen }}"}}
- {step: b, input: {mine: "{{ ctx.seen + 1 }}"}, tool: {kind: act}}
""",
        cache,
    )

    assert stage.act.calls[1].input == {"seen": 20, "mine": 21}


async def test_a_router_has_no_tool_and_a_step_with_neither_is_an_end(cache: LocalCache) -> None:
    document = """
- {step: start, next: {arcs: [{step: low, when: "{{ workload.n < 3 }}"}, {step: high}]}}
- {step: low, tool: {kind: act}}
- {step: high}
"""
    stages = [await played(document, cache, payload={"n": n}) for n in (1, 5)]

    assert [stage.log.status for stage in stages] == ["COMPLETED", "COMPLETED"]
    assert [sorted(stage.log.execution.finished) for stage in stages] == [["low", "start"], ["high", "start"]]


async def test_a_step_that_is_not_admitted_ends_its_token(cache: LocalCache) -> None:
    stage = await played(
        """
- {step: start, next: a}
- step: a
  spec: {policy: {admit: {mode: rules, rules: [{when: "{{ workload.go }}", then: {allow: true}}, {else: {then: {allow: false}}}]}}}
  tool: {kind: act}
  next: b
- {step: b, tool: {kind: act}}
""",
        cache,
        payload={"go": False},
    )

    assert (stage.log.status, stage.act.calls) == ("COMPLETED", [])
    assert stage.log.execution.finished["a"].status == "skipped"


async def test_on_error_leads_on_with_what_it_sets(cache: LocalCache) -> None:
    stage = await played(
        """
- {step: a, tool: {kind: act}, on_error: {step: mend, set: {ctx.why: "{{ error.kind }}"}}, next: b}
- {step: mend, tool: {kind: noop}}
- {step: b, tool: {kind: noop}}
""",
        cache,
        failing(),
    )

    assert (stage.log.status, stage.ctx) == ("COMPLETED", {"why": "server_error"})
    assert "mend" in stage.results
    assert "b" not in stage.results


async def test_a_tool_that_returns_an_error_has_not_failed(cache: LocalCache) -> None:
    """What a function says of its own business is data."""
    stage = await played(
        """
- step: a
  tool: {kind: act, say: {status: error, error: {kind: timeout}}}
  next: {arcs: [{step: b, when: "{{ output.status == 'ok' and a.status == 'error' }}"}, {step: mend, on: error}]}
- {step: b, tool: {kind: noop}}
- {step: mend, tool: {kind: noop}}
""",
        cache,
    )

    assert stage.log.status == "COMPLETED"
    assert "b" in stage.results


@pytest.mark.parametrize("kind", ERROR_KINDS)
async def test_every_kind_of_error_is_met_by_its_name(kind: str, cache: LocalCache) -> None:
    stage = await played(
        """
- step: a
  tool: {kind: act, spec: {policy: {rules: [{when: "{{ output.error.kind == workload.kind }}", then: {do: continue, set: {ctx.met: "{{ error.kind }}"}}}]}}}
""",
        cache,
        failing(kind=kind),
        payload={"kind": kind},
    )

    assert (stage.log.status, stage.ctx) == ("COMPLETED", {"met": kind})


@pytest.mark.parametrize("do", ["do: continue", "do: break", "do: jump, to: after"])
async def test_a_tasks_own_set_is_written_when_the_pipeline_goes_on(do: str, cache: LocalCache) -> None:
    stage = await played(
        f"""
- step: a
  tool:
  - first: {{kind: act, set: {{ctx.own: 1}}, spec: {{policy: {{rules: [{{else: {{{do}}}}}]}}}}}}
  - after: {{kind: act}}
""",
        cache,
    )

    assert stage.ctx == {"own": 1}


async def test_a_tasks_own_set_is_not_written_when_it_is_tried_again_or_fails(cache: LocalCache) -> None:
    document = """
- step: a
  tool:
    kind: act
    set: {ctx.n: "{{ (ctx.n or 0) + 1 }}"}
    spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: retry, set: {ctx.tried: "{{ (ctx.tried or 0) + 1 }}"}}}]}}
"""
    well, broken = await played(document, cache, failing(2)), await played(document, cache, failing(9))

    assert well.ctx == {"tried": 2, "n": 1}
    assert (broken.log.status, "n" in broken.ctx) == ("FAILED", False)


async def test_tasks_of_a_list_have_labels_names_or_numbers(cache: LocalCache) -> None:
    stage = await played(
        """
- step: a
  tool:
  - {kind: act, say: 1}
  - two: {kind: act, say: 2}
  - {name: three, kind: act, say: 3}
  next: b
- {step: b, tool: {kind: act, say: ["{{ a.results.task_0 }}", "{{ a.results.two }}", "{{ a.results.three }}", "{{ a }}"]}}
""",
        cache,
    )

    assert stage.results["b"] == [1, 2, 3, 3]


async def test_a_step_named_end_is_a_step(cache: LocalCache) -> None:
    """It runs its tool, and only if it is routed to."""
    with_end = await played(
        "- {step: a, tool: {kind: act}, next: end}\n- {step: end, tool: {kind: act, say: 1}}", cache
    )
    without = await played("- {step: a, tool: {kind: act}}\n- {step: end, tool: {kind: act, say: 1}}", cache)

    assert with_end.results["end"] == 1
    assert "end" not in without.results


LOOP = """
- step: each
  loop: {in: [1, 2, 3], iterator: n, spec: {policy: {on_error: ON_ERROR}}}
  tool: {kind: act, say: "{{ n }}"}
  next: {arcs: [{step: after, set: {ctx.event: "{{ event.name }}"}}]}
- {step: after, tool: {kind: noop}}
"""


async def looped(on_error: str, cache: LocalCache) -> Stage:
    return await played(LOOP.replace("ON_ERROR", on_error), cache, failing())


async def test_an_iteration_that_fails_fails_its_loop_unless_it_goes_on(cache: LocalCache) -> None:
    stopped, through = await looped("fail", cache), await looped("continue", cache)

    assert (stopped.log.status, through.log.status) == ("FAILED", "COMPLETED")
    assert through.results["each"]["stats"] == {"total": 3, "success": 2, "failed": 1}
    assert through.results["each"]["results"][1:] == [2, 3]
    assert through.results["each"]["count"] == 3
    assert through.ctx == {"event": "loop.done"}


async def test_the_input_of_a_loop_is_rendered_for_each_iteration(cache: LocalCache) -> None:
    stage = await played(
        '- {step: each, loop: {in: 3}, input: {square: "{{ item * item }}"}, tool: {kind: act}}', cache
    )

    assert [call.input["square"] for call in stage.act.calls] == [0, 1, 4]


async def test_variables_of_an_iteration_are_its_own(cache: LocalCache) -> None:
    """`iter.*` lives across retries, and no other iteration sees it."""
    stage = await played(
        """
- step: each
  loop: {in: [a, b], iterator: letter}
  tool:
  - {kind: act, say: "{{ iter.mine }}", set: {iter.mine: "{{ letter }}"}}
  - {kind: act, say: "{{ iter.mine }}"}
""",
        cache,
    )

    assert stage.act.said == [None, "a", None, "b"]


async def test_without_a_loop_iter_belongs_to_the_run_of_its_step(cache: LocalCache) -> None:
    stage = await played(
        """
- step: a
  tool:
  - {kind: act, set: {iter.x: 1, step.y: 2, z: 3}}
  - {kind: act, say: ["{{ iter.x }}", "{{ step.y }}", "{{ z }}"]}
  set: {ctx.iter: "{{ iter.x }}", ctx.step: "{{ step.y }}"}
  next: b
- {step: b, tool: {kind: act, say: ["{{ iter.x }}", "{{ step.y }}"]}}
""",
        cache,
    )

    assert stage.act.said[1:] == [[1, 2, 3], [None, None]]
    assert stage.ctx == {"iter": 1, "step": 2}


async def test_values_of_one_set_are_rendered_before_any_is_written_however_deep(cache: LocalCache) -> None:
    stage = await played(
        """
- step: a
  tool: {kind: act}
  set: {ctx.a: 1, ctx.b: 2}
  next: b
- step: b
  tool: {kind: act}
  set: {ctx.a: "{{ ctx.b }}", ctx.b: {deep: ["{{ ctx.a }}"]}}
""",
        cache,
    )

    assert stage.ctx == {"a": 2, "b": {"deep": [1]}}


async def test_a_key_wins_over_whatever_python_calls_an_attribute(cache: LocalCache) -> None:
    stage = await played(
        """
- {step: start, tool: {kind: act, say: {items: [1], keys: 2, copy: 3}}, next: b}
- {step: b, tool: {kind: act, say: ["{{ start.items }}", "{{ start.keys }}", "{{ start['copy'] }}", "{{ start.pop }}"]}}
""",
        cache,
    )

    assert stage.results["b"] == [[1], 2, 3, None]


async def test_a_number_written_as_text_stays_text(cache: LocalCache) -> None:
    stage = await played(
        '- {step: a, tool: {kind: act, say: {zip: \'007\', n: "{{ workload.zip }}", mixed: "{{ 0 }}{{ 7 }}"}}}',
        cache,
        payload={"zip": "007"},
    )

    assert stage.results["a"] == {"zip": "007", "n": "007", "mixed": "07"}


async def test_a_payload_is_data_and_never_rendered(cache: LocalCache) -> None:
    stage = await played(
        '- {step: a, tool: {kind: act, say: "{{ workload.x }}"}}', cache, payload={"x": "{{ 1 + 1 }}"}
    )

    assert stage.results["a"] == "{{ 1 + 1 }}"


async def test_a_secret_in_a_computed_key_is_not_told(cache: LocalCache) -> None:
    stage = await played(
        '- {step: a, tool: {kind: act, say: "{{ workload.table[workload.secret] + 1 }}"}}',
        cache,
        payload={"table": {}, "secret": "hunter2"},
    )

    assert stage.log.error is not None
    assert stage.log.error.message == (
        "the tool of step 'a', key 'say' (sales.yaml:5:36): what it looks up is undefined"
        " in `{{ workload.table[workload.secret] + 1 }}`"
    )


def test_text_that_jinja_cannot_parse_is_kept_where_it_may_be_text() -> None:
    body = "workflow:\n- {step: a, tool: {kind: noop, result: 'a {{ b c'}}\n"

    assert "kept as written" in warnings(body)[0]
    assert pipeline(body).tasks[0].config.evaluate({}) == {"result": "a {{ b c"}


@pytest.mark.parametrize(
    "key", ["input: {x: '{{ a b }}'}", "set: {ctx.x: '{{ a b }}'}", "loop: {in: '{{ a b }}'}"]
)
def test_text_that_jinja_cannot_parse_is_an_error_where_it_decides(key: str) -> None:
    assert "expected token" in error(f"workflow:\n- {{step: a, {key}, tool: {{kind: noop}}}}\n")


def test_an_unknown_root_is_an_error_in_a_condition_and_a_warning_elsewhere() -> None:
    condition = "workflow:\n- {step: a, tool: {kind: noop}, next: [{step: a, when: '{{ wrkload.x }}'}]}\n"
    elsewhere = "workflow:\n- {step: a, tool: {kind: noop, result: '{{ wrkload.x }}'}}\n"

    assert "unknown name 'wrkload'; did you mean 'workload'?" in error(condition)
    assert "unknown name 'wrkload'; did you mean 'workload'?" in warnings(elsewhere)[0]


@pytest.mark.parametrize("name", ["a", "first", "mine", "day", "zone", "result", "payload"])
def test_names_of_steps_tasks_sets_loops_and_inputs_are_known_to_conditions(name: str) -> None:
    body = f"""
workload: {{zone: 1}}
workflow:
- step: a
  loop: {{in: [1], iterator: day}}
  tool:
  - first: {{kind: noop, set: {{mine: 1}}}}
  - then: {{kind: noop, spec: {{policy: {{rules: [{{when: "{{{{ {name} }}}}", then: {{do: break}}}}]}}}}}}
"""
    assert compiled(body).plan.steps


@pytest.mark.parametrize(("kind", "installed"), [("noop", True), ("snowflake", False), ("mcp", False)])
def test_a_kind_is_known_whether_or_not_it_is_there(kind: str, installed: bool) -> None:
    found = warnings(f"workflow:\n- {{step: a, tool: {{kind: {kind}}}}}\n")

    assert any(kind in each for each in found) is not installed


def test_a_version_of_the_language_that_is_not_ours_is_refused() -> None:
    (problem,) = problems(
        "workflow: [{step: a, tool: {kind: noop}}]\n",
        head="apiVersion: noetl.io/v9\nkind: Playbook\nmetadata: {name: a}\n",
    )

    assert (problem.line, problem.column) == (1, 13)


def test_what_metadata_says_beyond_the_known_is_kept() -> None:
    head = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a, path: b/c, owner: me}\n"
    found = compiled("workflow: [{step: a, tool: {kind: noop}}]\n", head=head).plan

    assert (found.path, found.metadata["owner"]) == ("b/c", "me")


@pytest.mark.parametrize("value", ["1", "'1'", "'{{ 1 }}'"])
def test_a_number_may_be_text_or_a_template(value: str) -> None:
    task = pipeline(f"workflow:\n- {{step: a, tool: {{kind: noop, timeout: {value}}}}}\n").tasks[0]

    assert task.timeout is not None
    assert task.timeout.evaluate({}) == 1


@pytest.mark.parametrize("key", ["input", "args"])
async def test_an_input_may_be_one_template_in_either_spelling(key: str, cache: LocalCache) -> None:
    stage = await played(
        f'- {{step: a, tool: {{kind: act, {key}: "{{{{ workload }}}}"}}}}', cache, payload={"n": 3}
    )

    assert stage.act.calls[0].input == {"n": 3}
