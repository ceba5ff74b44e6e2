"""What a document says for its whole execution, played to its end: inputs, limits, default rules, rescue, joins, hosts."""

from __future__ import annotations

import pytest

from noetl_stream.core.events import ExecutionStarted
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call
from tests.worker.stage import Act, played


def failing(call: Call) -> object:
    """Fails as often as its input says."""
    if call.config.say == "fail":
        raise ToolError("the server is down", kind="server_error", retryable=True, status=503)
    return call.config.say


LIMITED = (
    "workload: {most: 100}\n"
    "executor: {spec: {policy: {limits: {max_payload_bytes: LIMIT}}}}\n"
    "workflow: [{step: load, tool: {kind: act, say: 1}}]\n"
)


@pytest.mark.parametrize("limit", ["100", "'100'", "'{{ workload.most }}'"])
async def test_a_payload_over_the_playbooks_bound_ends_the_execution_before_it_began(
    cache: Cache, limit: str
) -> None:
    act = Act()

    stage = await played(LIMITED.replace("LIMIT", limit), cache, act, {"rows": ["x" * 200]})

    assert (stage.log.status, act.said) == ("FAILED", [])
    assert stage.log.error is not None
    assert stage.log.error.kind == "validation"
    assert (
        "the payload has 213 bytes, and this playbook takes at most 100; send less" in stage.log.error.message
    )


async def test_a_payload_within_the_bound_is_taken(cache: Cache) -> None:
    assert (await played(LIMITED.replace("LIMIT", "100"), cache, payload={"n": 1})).log.status == "COMPLETED"


async def test_inputs_too_large_for_an_event_end_the_execution_before_it_began(cache: Cache) -> None:
    document = "workload: {text: \"{{ 'x' * 200000 }}\"}\nworkflow:\n- {step: a, tool: {kind: act}}"

    stage = await played(document, cache)

    assert stage.log.error is not None
    assert (stage.log.status, stage.log.error.kind, stage.log.error.place) == (
        "FAILED",
        "validation",
        "workload",
    )
    assert stage.log.error.message == (
        "workload: the inputs have 200011 bytes, and an execution takes at most 163840; "
        "let a step make or fetch what is large in `workload`"
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("|\n      x = 1\n      y = x / 0", "division by zero (line 2 of the code), at sales.yaml:10"),
        ('"x = 1\\ny = x / 0"', "division by zero (line 2 of the code)"),
    ],
)
async def test_a_fault_in_code_is_told_by_its_line_in_the_playbook(
    cache: Cache, code: str, told: str
) -> None:
    """Only a block of text stands in the file as it runs."""

    def fails(call: Call) -> None:
        raise ToolError("ZeroDivisionError: division by zero (line 2 of the code)", kind="python", line=2)

    document = f"workflow:\n- step: a\n  tool:\n    kind: act\n    code: {code}\n"
    stage = await played(document, cache, Act(does=fails))

    assert stage.log.error is not None
    assert stage.log.error.message == f"ZeroDivisionError: {told}"


async def test_inputs_are_rendered_in_order_and_never_again(cache: Cache) -> None:
    """A default reads those before it; what a request gives stays data; nothing changes afterwards."""
    stage = await played(
        "workload:\n"
        "  region: north\n"
        "  name: '{{ region }}-{{ payload.day }}'\n"
        "  nested: {of: '{{ workload.name }}', job: '{{ job.uuid == execution_id }}', self: '{{ nested.of }}'}\n"
        "  about: '{{ path }}@{{ version }} {{ spec.team }}'\n"
        "spec: {team: sales}\n"
        "workflow:\n"
        "- step: load\n"
        "  tool: {kind: act, say: '{{ workload }}', set: {ctx.region: west}}\n",
        cache,
        payload={"region": "{{ 1 + 1 }}", "day": "monday"},
    )

    assert stage.results["load"] == {
        "region": "{{ 1 + 1 }}",
        "name": "{{ 1 + 1 }}-monday",
        "nested": {"of": "{{ 1 + 1 }}-monday", "job": True, "self": None},
        "about": "sales@1 sales",
        "day": "monday",
    }


async def test_the_documents_rules_hold_for_every_task_after_its_own(cache: Cache) -> None:
    act = Act(failing)
    own = "spec: {policy: {rules: [{when: '{{ output.error }}', then: {do: continue}}]}}"

    stage = await played(
        "policy: {retry: {max_attempts: 3, retry_on: [server_error]}}\n"
        "workflow:\n"
        f"- {{step: first, tool: {{kind: act, say: fail, {own}}}, next: load}}\n"
        "- {step: load, tool: {kind: act, say: fail}}\n",
        cache,
        act,
    )

    assert act.said == ["fail"] * 4
    assert (stage.log.status, stage.log.error and stage.log.error.step) == ("FAILED", "load")


async def test_a_failing_execution_runs_the_playbooks_own_step_with_the_error(cache: Cache) -> None:
    act = Act(failing)

    stage = await played(
        "policy: {on_failure: {step: tidy}}\n"
        "workflow:\n"
        "- {step: load, tool: {kind: act, say: fail}}\n"
        "- {step: tidy, tool: {kind: act, say: '{{ error.kind }} {{ error.step }}'}}\n",
        cache,
        act,
    )

    assert act.said == ["fail", "server_error load"]
    assert stage.log.status == "FAILED"


async def test_a_failing_execution_starts_the_playbook_named_for_it_and_does_not_wait(cache: Cache) -> None:
    stage = await played(
        "policy: {on_failure: {playbook: ops/alert}}\n"
        "workflow: [{step: load, tool: {kind: act, say: fail}}]\n",
        cache,
        Act(failing),
    )
    (child,) = stage.children
    stage.answer(status="STARTED")
    await stage.play()

    assert (child.child.path, child.child.wait) == ("ops/alert", False)
    assert child.child.input["playbook"] == "sales"
    assert child.child.input["error"]["message"] == "the server is down"
    assert (stage.log.status, stage.log.error and stage.log.error.step) == ("FAILED", "load")


@pytest.mark.parametrize(("strict", "status"), [("yes", "FAILED"), ("no", "COMPLETED")])
async def test_no_match_is_an_error_where_the_inputs_say_so(cache: Cache, strict: str, status: str) -> None:
    stage = await played(
        "executor: {spec: {no_next_is_error: '{{ workload.strict }}'}}\n"
        "workload: {strict: null}\n"
        "workflow:\n"
        "- {step: load, tool: {kind: act, say: 1}, next: [{step: load, when: false}]}\n",
        cache,
        payload={"strict": strict},
    )

    assert stage.log.status == status


JOINED = (
    "workload: {n: 2}\n"
    "workflow:\n"
    "- {step: start, tool: {kind: act, say: 0}, next: [a, b0, c0]}\n"
    "- {step: b0, tool: {kind: act, say: 0}, next: b}\n"
    "- {step: c0, tool: {kind: act, say: 0}, next: c1}\n"
    "- {step: c1, tool: {kind: act, say: 0}, next: c}\n"
    "- {step: a, tool: {kind: act, say: a}, next: all}\n"
    "- {step: b, tool: {kind: act, say: b}, next: all}\n"
    "- {step: c, tool: {kind: act, say: c}, next: all}\n"
    '- {step: all, spec: {join: JOIN}, tool: {kind: act, say: "{{ [a, b, c] | select | join }}"}}\n'
)
"""Three arms of one, two and three steps."""


@pytest.mark.parametrize(
    ("join", "seen"),
    [("any", "a"), ("{quorum: 2}", "ab"), ("{quorum: '{{ n }}'}", "ab"), ("{quorum: '{{ workload.n + 1 }}'}", "abc"), ("all", "abc")],
)  # fmt: skip
async def test_a_join_runs_once_when_as_many_as_it_asks_for_have_come(
    cache: Cache, join: str, seen: str
) -> None:
    stage = await played(JOINED.replace("JOIN", join), cache)

    assert (stage.results["all"], stage.log.entered().count("all")) == (seen, 1)


async def test_a_quorum_that_is_no_number_ends_the_execution_before_it_began(cache: Cache) -> None:
    act = Act()

    stage = await played(JOINED.replace("JOIN", "{quorum: '{{ n }}'}"), cache, act, {"n": "many"})

    assert (stage.log.status, act.said) == ("FAILED", [])
    assert stage.log.error is not None
    assert "it yields no number" in stage.log.error.message


async def test_a_cursors_claim_is_told_as_many_rows_as_the_inputs_say(cache: Cache) -> None:
    rows = [[{"id": n} for n in (1, 2)], [{"id": 3}], []]
    act = Act(lambda call: {"rows": rows.pop(0)} if call.config.query else call.config.say)

    stage = await played(
        "workload: {batch: 1, wide: 1}\n"
        "workflow:\n"
        "- step: load\n"
        "  loop:\n"
        "    cursor: {kind: act, claim: 'claim {{ __frame_max_rows }}'}\n"
        "    iterator: row\n"
        "    spec: {frame: {max_rows: '{{ batch }}', row_concurrency: '{{ workload.wide }}'}, max_in_flight: 1}\n"
        "  tool: {kind: act, say: '{{ row.id }}'}\n",
        cache,
        act,
        {"batch": 2, "wide": "3"},
    )

    assert stage.log.status == "COMPLETED"
    assert [call.config.query for call in act.calls if call.config.query] == ["claim 2"] * 3
    assert stage.results["load"]["results"] == [1, 2, 3]


async def test_slices_have_as_many_rows_as_the_inputs_say(cache: Cache) -> None:
    stage = await played(
        "workflow:\n"
        "- step: load\n"
        "  loop: {frames: [1, 2, 3, 4, 5], rows: '{{ workload.rows }}', iterator: part}\n"
        "  tool: {kind: act, say: '{{ part }}'}\n",
        cache,
        payload={"rows": 2},
    )

    assert stage.results["load"]["results"] == [[1, 2], [3, 4], [5]]


async def test_a_deadline_may_be_the_requests_own_choice(cache: Cache) -> None:
    document = (
        "workload: {minutes: 1}\npolicy: {deadline: '{{ minutes }}m'}\n"
        "workflow: [{step: load, tool: {kind: act, say: 1}}]\n"
    )

    stage = await played(document, cache, payload={"minutes": 3})

    assert stage.log.execution.deadline == stage.log.execution.request.time + 180


async def test_tasks_are_told_which_hosts_they_may_call(cache: Cache) -> None:
    act = Act()

    await played(
        "policy: {network: {allow: ['*.example']}}\nworkflow: [{step: load, tool: {kind: act}}]\n", cache, act
    )
    await played("- {step: load, tool: {kind: act}}\n", cache, act)

    assert [call.hosts for call in act.calls] == [("*.example",), None]


async def test_a_step_that_is_not_admitted_is_skipped_whoever_decides(cache: Cache) -> None:
    """`allow` may be a template, and `else` may be written in any of its ways."""
    admit = "spec: {policy: {admit: {rules: [{when: '{{ ctx.asked }}', then: {allow: '{{ ctx.answer }}'}}, ELSE]}}}"
    for otherwise, asked, entered in (
        ("{else: {then: {allow: false}}}", "true", True),
        ("{else: {then: {allow: false}}}", "false", False),
        ("{else: {allow: 'no'}}", "false", False),
        ("{else: null, then: {allow: 'false'}}", "false", False),
        ("{else: null}", "false", True),
    ):
        act = Act()
        stage = await played(
            f"- {{step: ask, tool: {{kind: noop}}, set: {{ctx.asked: {asked}, ctx.answer: 'on'}}, next: load}}\n"
            f"- {{step: load, {admit.replace('ELSE', otherwise)}, tool: {{kind: act, say: 1}}}}\n",
            cache,
            act,
        )
        assert (stage.log.status, act.said) == ("COMPLETED", [1] if entered else [])


async def test_an_input_that_is_one_template_is_bound_like_a_mapping(cache: Cache) -> None:
    act = Act()

    await played(
        "workload: {all: {x: 1, y: 2}}\n"
        "workflow: [{step: load, input: '{{ workload.all }}', tool: {kind: act, say: '{{ input.x }}', input: {y: 3}}}]\n",
        cache,
        act,
    )

    assert (act.said, act.calls[0].input) == ([1], {"x": 1, "y": 3})


async def test_a_tenant_whom_the_playbook_does_not_name_is_refused_before_anything_runs(cache: Cache) -> None:
    act = Act()

    stage = await played(
        "policy: {access: {tenants: [acme]}}\nworkflow: [{step: load, tool: {kind: act, say: 1}}]\n",
        cache,
        act,
    )

    assert (stage.log.status, act.said) == ("FAILED", [])
    assert stage.log.error is not None
    assert stage.log.error.kind == "auth"
    assert "tenant 'default' may not run 'sales': its `policy.access.tenants` does not name it" in (
        stage.log.error.message
    )
    assert "acme" not in stage.log.error.message


async def test_a_tenant_whom_the_playbook_names_may_run_it(cache: Cache) -> None:
    stage = await played(
        "policy: {access: {tenants: [acme, default]}}\nworkflow: [{step: load, tool: {kind: act, say: 1}}]\n",
        cache,
    )

    assert stage.log.status == "COMPLETED"


async def test_how_long_results_are_kept_stands_in_the_log(cache: Cache) -> None:
    stage = await played(
        "policy: {retention: {results: 7d}}\nworkflow: [{step: load, tool: {kind: act, say: 1}}]\n", cache
    )

    (started,) = [move for move in stage.log.happened if isinstance(move, ExecutionStarted)]
    assert started.retain == {"results": 604_800.0}
