"""What stands in a step: task policy, tools, and the workbook that lends them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict

from noetl_stream.core.values import Result
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.errors import ExpressionError
from noetl_stream.ports.tools import Kind
from tests.dsl.kinds import HEAD, KINDS, NoopConfig, compiled, error
from tests.dsl.reading import output, pipeline, step, task


class TestPolicy:
    def rules(self, task_: str, head: str = "") -> Any:
        return task(f"{head}workflow: [{{step: a, tool: {{kind: noop, {task_}}}}}]\n").rules

    @pytest.mark.parametrize(
        "rule", ["{else: {then: {do: break}}}", "{else: {do: break}}", "{else: null, then: {do: break}}"]
    )
    def test_else_may_be_written_in_three_ways(self, rule: str) -> None:
        (found,) = self.rules(f"spec: {{policy: {{rules: [{rule}]}}}}")

        assert (found.do, found.when) == ("break", None)

    def test_a_rule_with_only_a_set_continues(self) -> None:
        (found,) = self.rules("spec: {policy: {rules: [{when: true, then: {set: {n: '{{ result }}'}}}]}}")

        assert found.do == "continue"
        assert found.writes.evaluate({"result": Result(3)}) == {"n": 3}

    @pytest.mark.parametrize(
        ("then", "attempts", "backoff", "delay"),
        [
            ("{do: retry}", 3, "fixed", 0),
            ("{do: retry, backoff: none}", 3, "fixed", 0),
            ("{do: retry, backoff: linear}", 3, "linear", 1),
            ("{do: retry, attempts: '5', backoff: exponential, delay: 0.5}", 5, "exponential", 0.5),
            ("{do: retry, attempts: '{{ ctx.n }}', delay: '{{ ctx.n }}'}", 7, "fixed", 7),
        ],
    )
    def test_the_numbers_of_a_retry(self, then: str, attempts: int, backoff: str, delay: float) -> None:
        (found,) = self.rules(f"spec: {{policy: {{rules: [{{else: {then}}}]}}}}")

        assert found.attempts.evaluate({"ctx": {"n": "7"}}) == attempts
        assert (found.backoff, found.delay.evaluate({"ctx": {"n": 7}})) == (backoff, delay)

    def test_a_number_that_is_none_is_named_when_evaluated(self) -> None:
        (found,) = self.rules("spec: {policy: {rules: [{else: {do: retry, attempts: '{{ ctx.n }}'}}]}}")

        with pytest.raises(ExpressionError, match=r"rules\[0\]\.attempts' .*it yields no number"):
            found.attempts.evaluate({"ctx": {"n": "many"}})

    def test_a_retry_block_is_one_rule_before_the_others(self) -> None:
        first, second = self.rules(
            "retry: {max_attempts: 4, backoff: linear, backoff_seconds: 2, retry_on: [timeout], retry_on_status: [503, '429']}, "
            "spec: {policy: {rules: [{else: {do: continue}}]}}"
        )

        assert (first.do, first.backoff, second.do) == ("retry", "linear", "continue")
        assert (first.attempts.evaluate({}), first.delay.evaluate({})) == (4, 2)
        assert first.when.evaluate(output(kind="timeout", status=None)) is True
        assert first.when.evaluate(output(kind="client_error", status=429)) is True
        assert first.when.evaluate(output(kind="client_error", status=404)) is False
        assert first.when.evaluate(output()) is False

    def test_a_bare_retry_holds_for_any_error(self) -> None:
        (found,) = self.rules("retry: 2")

        assert found.attempts.evaluate({}) == 2
        assert found.when.evaluate({"output": {"status": "error", "error": {"kind": "python"}}}) is True

    @pytest.mark.parametrize("on", ["retry_on: []", "retry_on_status: []"])
    def test_a_retry_on_an_empty_list_holds_for_no_error(self, on: str) -> None:
        (found,) = self.rules(f"retry: {{max_attempts: 2, {on}}}")

        assert found.when.evaluate(output(kind="timeout", status=503)) is False

    def test_the_document_s_rules_come_last(self) -> None:
        rules = "spec: {policy: {rules: [{when: true, then: {do: continue}}]}}"

        assert [r.do for r in self.rules(rules, "policy: {retry: {max_attempts: 2}}\n")] == [
            "continue",
            "retry",
        ]
        assert [r.do for r in self.rules(rules, "policy: {retry: [{else: {do: fail}}]}\n")] == [
            "continue",
            "fail",
        ]

    def test_inner_layers_replace_the_rules_of_outer_ones(self) -> None:
        body = (
            "executor: {{spec: {{policy: {{rules: [{{else: {{do: break}}}}]}}}}}}\n"
            "workflow: [{{step: a, spec: {{timeout: 9}}, tool: {{kind: noop{own}}}}}]\n"
        )
        own = ", timeout: '{{ ctx.t }}', spec: {policy: {rules: [{else: {do: fail}}]}}"
        outer, inner = task(body.format(own="")), task(body.format(own=own))

        assert outer.timeout is not None
        assert inner.timeout is not None
        assert (outer.rules[0].do, outer.timeout.evaluate({})) == ("break", 9)
        assert (inner.rules[0].do, inner.timeout.evaluate({"ctx": {"t": "2.5"}})) == ("fail", 2.5)


class TestTools:
    def test_configuration_may_stand_under_spec(self) -> None:
        found = task("workflow: [{step: a, tool: {kind: http, spec: {url: x, timeout: 3}, method: POST}}]\n")

        assert found.config.evaluate({}) == {"url": "x", "method": "POST"}
        assert found.timeout is not None
        assert found.timeout.evaluate({}) == 3

    def test_a_payload_is_input_but_for_http(self) -> None:
        body = "workflow: [{step: a, tool: [{kind: http, url: x, payload: {q: 1}}, {kind: noop, payload: {q: 1}}]}]\n"
        post, other = pipeline(body).tasks

        assert post.config.evaluate({}) == {"url": "x", "payload": {"q": 1}}
        assert other.input is not None
        assert other.input.evaluate({}) == {"q": 1}
        assert (post.name, other.name) == ("task_0", "task_1")

    def test_a_known_kind_that_is_missing_fails_when_reached(self) -> None:
        fault = task("workflow: [{step: a, tool: {kind: snowflake, query: x}}]\n").fault

        assert fault is not None
        assert (fault.kind, fault.message) == (
            "not_installed",
            "tool kind 'snowflake' is not installed; pip install 'noetl-stream[snowflake]'",
        )

    def test_templates_in_numbers_are_not_type_checked(self) -> None:
        found = task(
            "workflow: [{step: a, tool: {kind: http, url: x, retries: '{{ ctx.n }}', verify_ssl: 'false'}}]\n"
        )

        assert found.config.evaluate({"ctx": {"n": 2}}) == {"url": "x", "retries": 2, "verify_ssl": "false"}

    def test_a_model_s_own_rule_is_left_to_run_time_where_templates_decide(self) -> None:
        literal = "workflow: [{step: a, tool: {kind: duckdb, pool: {name: p}}}]\n"

        assert "no sql command provided" in error(literal)
        assert task(literal.replace("name: p", "name: '{{ ctx.p }}'")).kind == "duckdb"

    def test_a_kind_that_accepts_any_key_is_not_checked_for_them(self) -> None:
        class Open(NoopConfig):
            model_config = ConfigDict(extra="allow")

        kinds = {**KINDS, "mine": Kind(name="mine", config=Open, nature="read")}
        body = HEAD + "workflow: [{step: a, tool: {kind: mine, whatever: 1}}]\n"
        found = compile_playbook(body, file="f", kinds=kinds).plan.steps["a"].tool

        assert found.tasks[0].config.evaluate({}) == {"whatever": 1}

    def test_a_mistake_deep_in_a_list_is_found(self) -> None:
        body = "workflow: [{step: a, tool: {kind: duckdb, commands: [select 1, [2]]}}]\n"

        assert error(body).startswith("sales.yaml:4:64: error: key 'commands.1' of the tool of step 'a': ")

    def test_a_free_spec_is_kept(self) -> None:
        found = compiled("spec: {k: v}\nworkflow: [{step: a, tool: {kind: noop}}]\n")

        assert found.kept == {"spec": {"k": "v"}}
        assert found.plan.metadata["spec"] == {"k": "v"}

    def test_a_task_s_own_names_are_not_sent_but_outer_ones_are(self) -> None:
        body = (
            "workflow: [{step: a, input: {r: '{{ result.id }}'}, tool: [{one: {kind: noop, result: '{{ output.data }}{{ input.r }}', set: {n: '{{ result.x }}'}}}, "
            "{two: {kind: noop, result: '{{ one.y }}{{ n }}{{ a.z }}{{ ctx.q }}{{ keychain.k }}', set: {ctx.m: '{{ a }}{{ other }}'}}}]}]\n"
        )

        assert step(body).reads == {("result", "id"), ("a", "z"), ("ctx", "q"), ("other",)}

    @pytest.mark.parametrize(
        ("code", "reads"),
        [
            ("result = 1", set()),
            ("result = context['load']", {("load",)}),
            ("result = context.get('load', 1)", {("load",)}),
            ("result = 'load' in context and 'x' not in context", {("load",), ("x",)}),
            ("def main(context):\n  return context['load']", {("load",)}),
            ("return context['load']", {("load",)}),
            ("result = context[key]", {("*",)}),
            ("result = list(context.keys())", {("*",)}),
            ("result = context ['load'] +", {("*",)}),
        ],
    )
    def test_what_python_looks_up_in_its_context_is_sent(
        self, code: str, reads: set[tuple[str, ...]]
    ) -> None:
        import json

        body = f"workflow: [{{step: a, tool: {{kind: python, code: {json.dumps(code)}}}}}]\n"

        assert step(body).reads == reads

    def test_code_from_elsewhere_may_look_up_anything(self) -> None:
        body = "workflow: [{step: a, tool: {kind: shell, script: x}}, {step: b, tool: {kind: python, code: '{{ ctx.code }}'}}]\n"

        assert step(body).reads == frozenset()
        assert step(body, "b").reads == {("ctx", "code")}


class TestWorkbook:
    BOOK = (
        "workbook:\n"
        "- {name: add, tool: {kind: python, code: 'result = x + y', input: {x: null, y: 1}}, assert: {expects: [x], returns: [sum]}}\n"
        "- {name: nested, tool: [{first: {kind: workbook, name: add, input: {x: 5}}}, {kind: noop}]}\n"
    )

    def test_a_call_is_replaced_by_the_entry_with_the_inputs_merged(self) -> None:
        body = (
            self.BOOK
            + "workflow: [{step: a, tool: {kind: workbook, name: add, input: {x: 2}, set: {ctx.s: '{{ result }}'}}}]\n"
        )
        found = task(body)

        assert (found.kind, found.name, found.returns) == ("python", "a", ("sum",))
        assert found.input is not None
        assert found.input.evaluate({}) == {"x": 2, "y": 1}
        assert found.writes is not None
        assert pipeline(body).single is True

    def test_what_an_entry_expects_may_come_from_the_call_around_it(self) -> None:
        body = (
            self.BOOK
            + "- {name: outer, tool: {kind: workbook, name: add, input: {y: 2}}}\n"
            + "workflow: [{step: a, tool: {kind: workbook, name: outer, input: {x: 3}}}]\n"
        )
        found = task(body)

        assert found.input is not None
        assert found.input.evaluate({}) == {"x": 3, "y": 2}

    def test_a_null_only_declares_what_the_step_gives(self) -> None:
        body = self.BOOK + "workflow: [{step: a, input: {x: 9}, tool: {kind: workbook, name: add}}]\n"
        found = pipeline(body)

        assert found.input is not None
        assert found.tasks[0].input is not None
        assert {**found.input.evaluate({}), **found.tasks[0].input.evaluate({})} == {"x": 9, "y": 1}

    @pytest.mark.parametrize(
        "call", ["{t: {kind: workbook, name: add, input: {x: 2}}}", "{workbook: add, name: t, input: {x: 2}}"]
    )
    def test_a_call_in_a_list_keeps_its_label(self, call: str) -> None:
        body = self.BOOK + f"workflow: [{{step: a, tool: [{call}, {{kind: noop, result: '{{{{ t }}}}'}}]}}]\n"

        assert [(t.name, t.kind) for t in pipeline(body).tasks] == [("t", "python"), ("task_1", "noop")]

    def test_nested_calls_are_replaced_too(self) -> None:
        body = self.BOOK + "workflow: [{step: a, tool: {kind: workbook, name: nested, input: {y: 7}}}]\n"
        first, second = pipeline(body).tasks

        assert first.input is not None
        assert second.input is not None
        assert (first.name, first.kind, first.input.evaluate({})) == ("first", "python", {"x": 5, "y": 7})
        assert (second.kind, second.input.evaluate({})) == ("noop", {"y": 7})
        assert pipeline(body).single is False
