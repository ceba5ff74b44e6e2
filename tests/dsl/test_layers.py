"""`spec` in its layers: executor, step, loop, task; the inner one wins, mappings merge."""

from __future__ import annotations

import pytest

from tests.dsl.kinds import compiled, error, warnings
from tests.dsl.reading import output, step, task

LAYERS = ("executor", "step", "loop", "task")


def layered(key: str, values: dict[str, str]) -> str:
    """One step with a loop, and `key` said in the layers given."""
    said = {layer: f"spec: {{{key}: {values[layer]}}}" if layer in values else "" for layer in LAYERS}
    return (
        f"executor: {{{said['executor']}}}\n"
        f"workflow:\n- {{step: a, loop: {{in: [1], {said['loop']}}}, tool: {{kind: noop, {said['task']}}}, {said['step']}}}\n"
    )


@pytest.mark.parametrize("inner", LAYERS)
class TestTheInnermostLayerWins:
    """Said in one layer and in all outside of it, the innermost counts."""

    def said(self, key: str, inner: str, value: str, outer: str) -> str:
        upto = LAYERS[: LAYERS.index(inner)]
        return layered(key, {**dict.fromkeys(upto, outer), inner: value})

    def test_for_the_pool(self, inner: str) -> None:
        assert step(self.said("pool", inner, "gpu", "io")).pool == "gpu"

    def test_for_the_priority(self, inner: str) -> None:
        assert step(self.said("priority", inner, "high", "low")).priority == "high"

    def test_for_effects(self, inner: str) -> None:
        assert task(self.said("effects", inner, "at_most_once", "exactly_once")).effects == "at_most_once"

    def test_for_the_timeout(self, inner: str) -> None:
        timeout = task(self.said("timeout", inner, "'2.5'", "9")).timeout

        assert timeout is not None
        assert timeout.evaluate({}) == 2.5

    def test_for_rules(self, inner: str) -> None:
        inside, outside = "{rules: [{else: {do: fail}}]}", "{rules: [{else: {do: break}}]}"

        assert [each.do for each in task(self.said("policy", inner, inside, outside)).rules] == ["fail"]


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_a_loops_bounds_may_be_said_around_it(layer: str) -> None:
    body = layered("max_in_flight", {layer: "3"}).replace("in: [1],", "in: [1], iterator: x,")
    wide = layered("mode", {layer: "parallel"})

    assert (found := step(body).loop) is not None
    assert (wider := step(wide).loop) is not None
    assert (found.limit, wider.parallel) == (3, True)


def test_a_task_of_a_list_may_name_the_pool_under_its_spec() -> None:
    body = "workflow: [{step: a, tool: [{kind: noop, spec: {pool: gpu}}, {kind: noop}]}]\n"

    assert step(body).pool == "gpu"
    assert "a pipeline runs in one pool, not in gpu, io" in error(
        body.replace("{kind: noop}]", "{kind: noop, pool: io}]")
    )


@pytest.mark.parametrize("pool", ["{name: main, max_size: '4'}", "{}", "null"])
def test_a_mapping_under_a_tasks_spec_is_a_connection_pool(pool: str) -> None:
    body = f"workflow: [{{step: a, tool: {{kind: duckdb, query: select 1, spec: {{pool: {pool}}}}}}}]\n"

    assert step(body).pool == "default"
    assert "pool" in task(body).config.evaluate({})


class TestInput:
    """A mapping, or one template that yields one."""

    BODY = "workflow: [{step: a, input: '{{ ctx.all }}', tool: {kind: noop, input: '{{ workload.more }}'}}]\n"

    def test_it_may_be_one_template(self) -> None:
        own = task(self.BODY).input

        assert own is not None
        assert own.evaluate({"workload": {"more": {"x": 1}}}) == {"x": 1}
        assert own.evaluate({"workload": {}}) == {}

    def test_one_that_yields_something_else_names_its_place(self) -> None:
        own = task(self.BODY).input

        assert own is not None
        with pytest.raises(Exception, match="an input is a mapping, not a list; name its values") as no:
            own.evaluate({"workload": {"more": [1]}})
        assert "the tool of step 'a', key 'input' (sales.yaml:4:" in str(no.value)


class TestFlagsAndNumbersFromTemplates:
    def test_admission_may_be_decided_by_a_template(self) -> None:
        admit = step(
            "workflow: [{step: a, spec: {policy: {admit: {mode: exclusive, rules: "
            "[{cond: '{{ ctx.x }}', then: {allow: '{{ ctx.y }}'}}, {else: null, then: {allow: 'false'}}]}}}, tool: {kind: noop}}]\n"
        ).admit

        assert admit is not None
        assert admit.reads == {("ctx", "x"), ("ctx", "y")}
        assert [admit.evaluate({"ctx": ctx}) for ctx in ({"x": 1, "y": "no"}, {"x": 1, "y": 1}, {})] == [
            False,
            True,
            False,
        ]

    @pytest.mark.parametrize(
        ("key", "body"),
        [
            ("spec.join.quorum", "{step: a, spec: {join: {quorum: N}}, tool: {kind: noop}}"),
            ("loop.rows", "{step: a, loop: {frames: '{{ ctx.t }}', rows: N}, tool: {kind: noop}}"),
            (
                "loop.spec.frame.max_rows",
                "{step: a, loop: {cursor: {kind: duckdb, claim: x}, spec: {frame: {max_rows: N}}}, tool: {kind: noop}}",
            ),
            (
                "loop.spec.frame.row_concurrency",
                "{step: a, loop: {cursor: {kind: duckdb, claim: x}, spec: {frame: {row_concurrency: N}}}, tool: {kind: noop}}",
            ),
        ],
    )
    def test_counts_may_be_numbers_of_the_inputs(self, key: str, body: str) -> None:
        flow = f"workload: {{n: 2}}\nworkflow: [{body}]\n"

        assert compiled(flow.replace("N", "'{{ n + 1 }}'"))
        assert compiled(flow.replace("N", "'3'"))
        assert error(flow.replace("N", "'{{ ctx.n }}'")).endswith(
            f"key '{key}' of step 'a' reads 'ctx', but it may read inputs alone; take it from `workload`"
        )
        assert error(flow.replace("N", "0")).endswith(
            f"key '{key}' of step 'a' is a whole number from 1, not 0"
        )

    def test_retries_may_name_kinds_and_statuses_by_templates(self) -> None:
        (rule,) = task(
            "workflow: [{step: a, tool: {kind: noop, retry: {max_attempts: '{{ ctx.n }}', retry_on: '{{ ctx.kind }}', retry_on_status: ['{{ ctx.code }}', 429]}}}]\n"
        ).rules
        when = rule.when

        assert when is not None
        assert rule.attempts.evaluate({"ctx": {"n": "5"}}) == 5
        ctx = {"ctx": {"kind": "sql", "code": 503}}
        found = [when.evaluate({**ctx, **output(kind=kind, status=status)}) for kind, status in
                 (("sql", None), ("server_error", 503), ("rate_limit", 429), ("server_error", 500))]  # fmt: skip
        assert found == [True, True, True, False]

    def test_a_retry_on_no_kind_of_error_is_a_warning(self) -> None:
        (found,) = warnings(
            "workflow: [{step: a, tool: {kind: noop, retry: {max_attempts: 2, retry_on: [timout, sql]}}}]\n"
        )

        assert found.endswith(
            "key 'retry.retry_on' of the tool of step 'a': no error is of the kind 'timout'; did you mean 'timeout'?"
        )


def test_older_spellings_of_the_outer_layers_are_read_too() -> None:
    found = warnings(
        "executor: {spec: {timeout_seconds: 9, policy: {rules: [{cond: true, then: {do: continue}}]}}}\n"
        "policy: {retry: {attempts: 2, backoff: none}}\nworkflow: [{step: a, tool: {kind: noop}}]\n"
    )

    assert [each.partition("warning: ")[2] for each in found] == [
        "'timeout_seconds' in `spec` of the executor is an older spelling; write 'timeout'",
        "'cond' in a rule of the executor is an older spelling; write 'when'",
        "'attempts' in `retry` of the playbook is an older spelling; write 'max_attempts'",
        "'none' in the playbook is an older spelling; write 'fixed'",
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "workflow:\n- {step: a, policy: {}, tool: {kind: noop}}\n",
            "5:13: error: key 'policy' does not belong to step 'a'; move it under `spec` of step 'a'",
        ),
        (
            "workflow:\n- {step: a, tool: {kind: noop, policy: {}}}\n",
            "5:32: error: key 'policy' does not belong to the tool of step 'a'; move it under its `spec`",
        ),
        (
            "workflow:\n- {step: a, tool: {kind: noop}, next: {mode: inclusive, arcs: []}}\n",
            "5:40: error: key 'mode' does not belong to key 'next' of step 'a'; move it under `spec`",
        ),
    ],
)
def test_a_key_of_spec_that_stands_beside_it_is_sent_there(body: str, problem: str) -> None:
    assert error(body) == f"sales.yaml:{problem}"


def test_a_pool_of_connections_is_dropped_where_there_are_none() -> None:
    body = "workflow: [{step: a, tool: {kind: noop, pool: {}}}]\n"

    assert task(body).config.evaluate({}) == {}
    assert warnings(body)[0].endswith("the tool of step 'a': kind 'noop' pools no connections; remove it")


@pytest.mark.parametrize("tool", ["tool: null", "tool: []", "desc: x"])
def test_a_step_that_does_nothing_and_leads_nowhere_is_a_warning(tool: str) -> None:
    (found,) = warnings(f"workflow: [{{step: a, {tool}}}]\n")

    assert found.endswith("step 'a' has neither `tool` nor `next`; write `tool: {kind: noop}`")


def test_a_step_called_like_the_one_for_failures_is_a_step() -> None:
    plan = compiled("workflow: [{step: on_failure, tool: {kind: noop}}]\n").plan

    assert (plan.entry, plan.on_failure) == ("on_failure", None)


def test_a_playbook_without_a_name_is_told() -> None:
    head = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: ' ', version: 1.0}\n"

    assert error("workflow: [{step: a, tool: {kind: noop}}]\n", head=head) == (
        "sales.yaml:3:18: error: key 'metadata.name' of the playbook is empty; name the playbook"
    )


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("{step: a, tool: {kind: noop, timeout: soon}}", "key 'timeout' of the tool of step 'a'"),
        ("{step: a, spec: {join: {quorum: many}}, tool: {kind: noop}}", "key 'spec.join.quorum' of step 'a'"),
        (
            "{step: a, tool: {kind: noop, retry: {delay: 5s}}}",
            "key 'retry.delay' of the tool of step 'a'",
        ),
    ],
)
def test_what_is_no_number_is_told_once(body: str, key: str) -> None:
    assert f"error: {key} is a number, not text" in error(f"workflow: [{body}]\n")
