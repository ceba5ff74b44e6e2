"""Whole playbooks into plans: what decide and the workers get to see of them."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.counts import count_of
from noetl_stream.core.values import Ref, Result
from noetl_stream.dsl.compiler import digest_of
from noetl_stream.errors import ExpressionError, InvalidPlaybook
from tests.dsl.kinds import compiled, warnings
from tests.dsl.reading import items_of, output, pipeline, step, task
from tests.dsl.test_templates import Rows

SALES = """\
workload:
  region: north
  url: "https://shop.example/{{ region }}/orders?day={{ day }}"
  day: "2026-01-31"
executor:
  spec: {pool: io, policy: {defaults: {timeout_s: 30}}}
policy:
  deadline: 15m
workflow:
- step: start
  desc: fetch the orders
  tool:
    kind: http
    url: "{{ workload.url }}"
    spec:
      policy:
        rules:
        - when: "{{ output.error.retryable }}"
          then: {do: retry, attempts: 5, backoff: exponential}
  set:
    ctx.count: "{{ result.data.orders | length }}"
    ctx.first: "{{ output.data.orders[0].id }}"
  next:
    spec: {mode: exclusive}
    arcs:
    - {step: each, when: "{{ ctx.count > 0 }}", set: {ctx.orders: "{{ start.orders }}"}}
    - {step: end}
    - {step: sorry, on: error, args: {why: "{{ error.kind }}"}}
- step: each
  loop:
    in: "{{ ctx.orders }}"
    iterator: order
    spec: {mode: parallel, max_in_flight: "{{ workload.width }}", policy: {on_error: continue}}
  tool:
  - price:
      kind: python
      input: {order: "{{ order }}", rate: "{{ workload.rate }}"}
      code: "result = {'cents': order['cents'] * rate, 'known': 'end' in context}"
  - name: store
    kind: duckdb
    query: "insert into sales values ($cents)"
    input: {cents: "{{ price.cents }}", index: "{{ iter.index }}"}
    spec:
      policy:
        rules:
        - {when: "{{ output.status == 'error' and iter.tries < 3 }}", then: {do: jump, to: price, set: {iter.tries: "{{ iter.tries + 1 }}"}}}
        - {else: {then: {do: fail}}}
  next: end
- step: end
  tool: {kind: noop, result: {done: true}}
- step: sorry
  tool: {kind: python, code: "result = input_data['why']"}
  on_error: {step: end, set: {ctx.lost: "{{ error.message }}"}}
"""


class TestSales:
    """A playbook of the usual kind."""

    def test_it_compiles_without_a_warning(self) -> None:
        assert [w for w in warnings(SALES) if "nothing acts on it yet" not in w] == []

    def test_a_plan_is_pinned_by_path_version_and_digest(self) -> None:
        plan = compiled(SALES).plan

        assert (plan.path, plan.version, plan.entry) == ("sales", 1, "start")
        assert plan.deadline == 900.0
        assert plan.metadata == {"name": "sales"}
        assert digest_of("a\r\nb") == digest_of("a\nb") != digest_of("a")

    def test_a_step_is_sent_what_its_block_reads(self) -> None:
        steps = compiled(SALES).plan.steps

        assert steps["start"].reads == {("workload", "url")}
        assert steps["each"].reads == {("workload", "rate"), ("end",)}
        assert steps["end"].reads == frozenset()
        assert steps["sorry"].reads == frozenset()

    def test_a_worker_sends_along_what_decide_will_read(self) -> None:
        steps = compiled(SALES).plan.steps

        assert steps["start"].parts == {("data", "orders"), ("orders",), ("orders", "0", "id")}
        assert steps["each"].parts == frozenset()

    def test_arcs_keep_their_order_and_their_events(self) -> None:
        arcs = step(SALES, "start").arcs

        assert [(arc.target, arc.on, arc.reads_event) for arc in arcs] == [
            ("each", None, False),
            ("end", None, False),
            ("sorry", "error", False),
        ]
        assert arcs[0].when is not None
        assert arcs[0].when.evaluate({"ctx": {"count": 2}}) is True
        assert arcs[0].writes is not None
        ref = Ref(uri="u", bytes=1, sha256="", format="json", parts={"orders": [1]})
        assert arcs[0].writes.evaluate({"start": Result(ref)}) == {"ctx.orders": [1]}
        assert arcs[2].args is not None
        assert arcs[2].args.evaluate({"error": {"kind": "timeout"}}) == {"why": "timeout"}

    def test_an_error_handler_is_an_arc_for_errors(self) -> None:
        (arc,) = step(SALES, "sorry").arcs

        assert (arc.target, arc.on) == ("end", "error")
        assert arc.writes is not None
        assert arc.writes.evaluate({"error": {"message": "m"}}) == {"ctx.lost": "m"}

    def test_a_loop_has_its_bounds(self) -> None:
        loop = step(SALES, "each").loop

        assert loop is not None
        assert (loop.iterator, loop.parallel, loop.on_error, loop.limit) == ("order", True, "continue", 16)
        assert loop.bound is not None
        assert loop.bound.evaluate({"workload": {"width": "4"}}) == 4
        assert items_of(loop).evaluate({"ctx": {"orders": [1, 2]}}) == [1, 2]

    def test_outer_layers_reach_the_tasks(self) -> None:
        fetch = pipeline(SALES, "start").tasks[0]

        assert step(SALES, "start").pool == "io"
        assert fetch.timeout is not None
        assert fetch.timeout.evaluate({}) == 30
        assert fetch.name == "start"
        assert fetch.config.evaluate({"workload": {"url": "u"}}) == {"url": "u"}

    def test_a_pipeline_has_labels_and_rules(self) -> None:
        found = pipeline(SALES, "each")
        jump, fail = found.tasks[1].rules

        assert found.labels == {"price": 0, "store": 1}
        assert (found.single, found.iterator, found.alias) == (False, "order", None)
        assert (jump.do, jump.to, fail.do, fail.when) == ("jump", "price", "fail", None)
        assert jump.when is not None
        assert jump.writes is not None
        scope = {**output(kind="sql"), "iter": {"tries": 1}}
        assert jump.when.evaluate(scope) is True
        assert jump.writes.evaluate(scope) == {"iter.tries": 2}

    def test_inputs_are_rendered_once_with_the_payload_laid_over(self) -> None:
        workload = compiled(SALES).plan.workload

        assert workload.evaluate({"payload": {"region": "south", "rate": 2}}) == {
            "region": "south",
            "url": "https://shop.example/south/orders?day=",
            "day": "2026-01-31",
            "rate": 2,
        }


class TestWorkload:
    def test_each_default_sees_earlier_keys_and_what_was_given(self) -> None:
        body = (
            "workload:\n  a: 1\n  b: {c: '{{ a + 1 }}', d: ['{{ workload.a }}', '{{ payload.x }}', '{{ input.x }}']}\n"
            "  e: '{{ execution_id }}/{{ job.uuid }}/{{ now() }}/{{ env.HOME }}'\n  self: 'x{{ workload.self }}'\n"
            "workflow: [{step: a, tool: {kind: noop}}]\n"
        )
        given = {
            "payload": {"x": "{{ a }}"}, "execution_id": "7", "job": {"uuid": "7"}, "now": lambda: "t",
            "env": {"HOME": "h"},
        }  # fmt: skip

        assert compiled(body).plan.workload.evaluate(given) == {
            "a": 1,
            "b": {"c": 2, "d": [1, "{{ a }}", "{{ a }}"]},
            "e": "7/7/t/h",
            "self": "x",
            "x": "{{ a }}",
        }

    def test_mappings_merge_deep_and_everything_else_is_replaced(self) -> None:
        body = "workload: {m: {a: 1, b: {c: 2}}, l: [1], broken: '{{ 1 / 0 }}'}\nworkflow: [{step: a, tool: {kind: noop}}]\n"

        found = compiled(body).plan.workload.evaluate(
            {"payload": {"m": {"b": {"d": 3}}, "l": {"x": 1}, "broken": 0}}
        )

        assert found == {"m": {"a": 1, "b": {"c": 2, "d": 3}}, "l": {"x": 1}, "broken": 0}

    def test_no_payload_is_an_empty_one_but_a_list_is_refused(self) -> None:
        workload = compiled("workflow: [{step: a, tool: {kind: noop}}]\n").plan.workload

        assert workload.evaluate({"payload": None}) == {}
        with pytest.raises(ExpressionError, match="a payload is a mapping"):
            workload.evaluate({"payload": [1]})

    def test_names_that_cannot_be_shadowed_are_not(self) -> None:
        body = "workload: {job: 1, x: '{{ job.uuid }}', y: '{{ workload.job }}'}\nworkflow: [{step: a, tool: {kind: noop}}]\n"

        found = compiled(body).plan.workload.evaluate({"job": {"uuid": "u"}})

        assert found == {"job": 1, "x": "u", "y": 1}


class TestEntry:
    def test_a_named_entry_goes_before_start_and_start_before_the_first(self) -> None:
        flow = "workflow: [{step: a, tool: {kind: noop}, next: start}, {step: start, tool: {kind: noop}, next: a}]\n"

        assert compiled(flow).plan.entry == "start"
        assert compiled("executor: {spec: {entry_step: a}}\n" + flow).plan.entry == "a"
        assert compiled(flow.replace("start", "b")).plan.entry == "a"

    def test_a_step_whose_name_is_a_number_may_be_the_entry(self) -> None:
        flow = "workflow: [{step: a, tool: {kind: noop}, next: 5}, {step: 5, tool: {kind: noop}, next: a}]\n"

        assert compiled("executor: {spec: {entry_step: 5}}\n" + flow).plan.entry == "5"

    def test_steps_may_have_slashes_in_their_names(self) -> None:
        body = "workflow: [{step: a/b, tool: {kind: noop}, next: c}, {step: c, tool: {kind: noop}, set: {ctx.x: \"{{ steps['a/b'].data.y | length }}\"}}]\n"

        assert step(body, "a/b").parts == {("y",)}


class TestRouting:
    @pytest.mark.parametrize(
        ("next_", "targets", "inclusive"),
        [
            ("b", ["b"], False),
            ("[b, a]", ["b", "a"], True),
            ("[{step: b}, {step: a}]", ["b", "a"], True),
            ("[{step: b, when: true}, {step: a}]", ["b", "a"], False),
            ("{step: b}", ["b"], True),
            ("{spec: {mode: inclusive}, arcs: [{step: b, when: true}, {step: a}]}", ["b", "a"], True),
            ("{spec: {mode: exclusive}, arcs: [{step: b}]}", ["b"], False),
        ],
    )
    def test_all_forms_of_next_lead_to_arcs(self, next_: str, targets: list[str], inclusive: bool) -> None:
        found = step(
            f"workflow: [{{step: a, tool: {{kind: noop}}, next: {next_}}}, {{step: b, tool: {{kind: noop}}}}]\n"
        )

        assert [arc.target for arc in found.arcs] == targets
        assert found.inclusive is inclusive

    def test_what_no_match_means_can_be_said_by_step_or_by_the_executor(self) -> None:
        flow = "workflow: [{step: a, tool: {kind: noop}, next: {spec: {on_no_match: quiet}, arcs: [{step: b}]}}, {step: b, tool: {kind: noop}, next: a}]\n"
        strict = "executor: {spec: {no_next_is_error: true}}\n"

        assert step(flow).on_no_match == "quiet"
        assert step(flow, "b").on_no_match == "complete"
        assert step(strict + flow, "b").on_no_match == "fail"

    def test_a_condition_is_policy_truth_and_may_be_a_boolean(self) -> None:
        flow = 'workflow: [{step: a, tool: {kind: noop}, next: [{step: a, when: false}, {step: a, when: "{{ ctx.x }}"}, {step: a, when: "{% if ctx.x %}no{% endif %}"}]}]\n'
        never, maybe, text = (arc.when for arc in step(flow).arcs)

        assert never is not None
        assert maybe is not None
        assert text is not None
        assert never.evaluate({}) is False
        assert maybe.evaluate({"ctx": {"x": "off"}}) is False
        assert maybe.evaluate({"ctx": {"x": "00"}}) is True
        assert text.evaluate({"ctx": {"x": 1}}) is False

    def test_a_condition_on_the_event_is_known_as_such(self) -> None:
        flow = "workflow: [{step: a, tool: {kind: noop}, next: [{step: a, when: \"{{ event.name == 'step.failed' }}\"}]}]\n"

        assert step(flow).arcs[0].reads_event is True

    @pytest.mark.parametrize(
        ("read", "parts"),
        [
            ("steps.s.data.x", {("x",)}),
            ("steps.s.x", {("x",)}),
            ("steps.s.status", set()),
            ("steps.s", {()}),
            ("steps", set()),
            ("s", {()}),
            ("s.x", {("x",)}),
            ("nowhere.x", set()),
        ],
    )
    def test_what_decide_reads_of_a_step_is_its_parts(self, read: str, parts: set[tuple[str, ...]]) -> None:
        flow = f"workload: {{nowhere: 1}}\nworkflow: [{{step: s, tool: {{kind: noop}}, next: a}}, {{step: a, tool: {{kind: noop}}, set: {{ctx.x: '{{{{ {read} | length }}}}'}}}}]\n"

        assert step(flow, "s").parts == parts

    @pytest.mark.parametrize(
        ("read", "parts"),
        [
            ("output | tojson", {()}),
            ("output.response.x", {("x",)}),
            ("output.x", {("x",)}),
            ("output.error.kind", set()),
            ("response.x", {("x",)}),
            ("result", set()),
        ],
    )
    def test_what_a_step_s_own_sites_read_is_its_parts(self, read: str, parts: set[tuple[str, ...]]) -> None:
        flow = f"workflow: [{{step: s, tool: {{kind: noop}}, set: {{ctx.x: '{{{{ {read} }}}}'}}}}]\n"

        assert step(flow, "s").parts == parts

    def test_joins(self) -> None:
        flow = "workflow: [{step: a, tool: {kind: noop}, spec: {join: JOIN}}]\n"

        assert step(flow.replace("JOIN", "any")).join == "any"
        assert step(flow.replace("JOIN", "{quorum: '2'}")).join == 2
        assert step("workflow: [{step: a, tool: {kind: noop}}]\n").join == "all"

    def test_admission_takes_the_first_rule_that_holds(self) -> None:
        admit = step(
            "workflow: [{step: a, tool: {kind: noop}, spec: {policy: {admit: {rules: "
            "[{when: '{{ ctx.x > 1 }}', then: {allow: true}}, {when: '{{ ctx.x == 1 }}', then: {allow: 'no'}}, "
            "{else: {then: {allow: false}}}]}}}}]\n"
        ).admit

        assert admit is not None
        assert [admit.evaluate({"ctx": {"x": x}}) for x in (2, 1, 0)] == [True, False, False]

    def test_admission_allows_what_no_rule_speaks_of(self) -> None:
        admit = step(
            "workflow: [{step: a, tool: {kind: noop}, spec: {policy: {admit: {rules: "
            "[{when: '{{ ctx.x }}', then: {allow: false}}]}}}}]\n"
        ).admit

        assert admit is not None
        assert admit.evaluate({"ctx": {}}) is True
        assert admit.reads == {("ctx", "x")}

    def test_priority_pool_and_effects_come_from_the_layers(self) -> None:
        body = "executor: {spec: {pool: io}}\nworkflow: [{step: a, spec: {priority: high, effects: at_most_once}, tool: {kind: noop, pool: gpu}}]\n"

        assert (step(body).pool, step(body).priority) == ("gpu", "high")
        assert pipeline(body).effects == "at_most_once"
        assert step(body.replace(", pool: gpu", "")).pool == "io"
        assert step("workflow: [{step: a, tool: {kind: noop}}]\n").pool == "default"

    def test_the_documents_retry_is_no_word_against_an_effect_that_may_happen_once(self) -> None:
        """A default for every task leaves such a task alone; only its own rules contradict it."""
        body = "policy: {retry: {max_attempts: 3}}\nworkflow: [{step: a, spec: {effects: at_most_once}, tool: {kind: noop}}]\n"

        assert warnings(body) == []

    def test_a_cursors_claim_may_be_made_again_whatever_may_happen_once_in_its_body(self) -> None:
        found = step(
            "workflow: [{step: a, spec: {effects: at_most_once}, tool: {kind: noop},"
            " loop: {cursor: {kind: duckdb, claim: select 1}}}]\n"
        )

        assert found.loop is not None
        assert [task.effects for task in (*found.loop.cursor.tasks, *found.tool.tasks)] == [
            "at_least_once",
            "at_most_once",
        ]

    def test_a_mapping_is_a_connection_pool_even_an_empty_one(self) -> None:
        body = "workflow: [{step: a, tool: {kind: duckdb, query: select 1, pool: {}}}]\n"

        assert step(body).pool == "default"
        assert task(body).config.evaluate({}) == {"query": "select 1", "pool": {}}


class TestLoops:
    @pytest.mark.parametrize(
        ("given", "items"),
        [
            ([1, 2], [1, 2]),
            ([None], [None]),
            ({"a": 1}, [{"key": "a", "value": 1}]),
            ({"x": 1, "y": 2}, [{"key": "x", "value": 1}, {"key": "y", "value": 2}]),
            ("[3]", [3]),
            ('["a", {"b": 1}]', ["a", {"b": 1}]),
            ('{"a": 1}', [{"key": "a", "value": 1}]),
            ("{}", []),
            ("7", 7),
            (3, 3),
            (-1, 0),
            (0, 0),
            ([], []),
            ({}, []),
            ("[]", []),
        ],
    )
    def test_a_collection_may_be_given_in_several_ways(self, given: Any, items: Any) -> None:
        loop = step("workflow: [{step: a, loop: {in: '{{ ctx.x }}'}, tool: {kind: noop}}]\n").loop

        assert loop is not None
        assert items_of(loop).evaluate({"ctx": {"x": given}}) == items

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (None, "not null"),
            (True, "not a bool"),
            (1.5, "not a float"),
            ("a b", "this text is no JSON"),
            ("", "this text is no JSON"),
            ("[NaN]", "this text is no JSON"),
            ("[" * 100_000, "this text is no JSON"),
            ("null", "not null"),
            ("1.5", "not a float"),
            ('"[1]"', "not a str"),
        ],
    )
    def test_anything_else_is_an_error_naming_the_step(self, given: Any, reason: str) -> None:
        loop = step("workflow: [{step: a, loop: {in: '{{ ctx.x }}'}, tool: {kind: noop}}]\n").loop

        assert loop is not None
        with pytest.raises(ExpressionError, match=rf"step 'a', key 'loop.in' .*{reason}"):
            items_of(loop).evaluate({"ctx": {"x": given}})

    def test_a_literal_list_may_hold_templates(self) -> None:
        loop = step("workflow: [{step: a, loop: {in: [1, '{{ ctx.x }}']}, tool: {kind: noop}}]\n").loop

        assert loop is not None
        assert items_of(loop).evaluate({"ctx": {"x": 2}}) == [1, 2]
        assert (loop.iterator, loop.parallel, loop.limit, loop.bound) == ("item", False, 16, None)

    def test_a_table_in_the_cache_is_a_collection(self) -> None:
        loop = step("workflow: [{step: a, loop: {in: '{{ ctx.x }}'}, tool: {kind: noop}}]\n").loop
        ref = Ref(uri="u", bytes=1, sha256="", format="arrow", rows=3)

        assert loop is not None
        assert items_of(loop).evaluate({"ctx": {"x": ref}}) is ref

    def test_what_a_loop_reads_of_the_step_before_is_sent_along(self) -> None:
        body = "workflow: [{step: s, tool: {kind: noop}, next: a}, {step: a, loop: {in: '{{ result.rows }}'}, tool: {kind: noop}}]\n"

        assert step(body, "s").parts == {("rows",)}
        assert step(body, "a").parts == frozenset()

    def test_a_table_that_a_worker_opened_is_a_collection(self) -> None:
        loop = step("workflow: [{step: a, loop: {in: '{{ ctx.x }}'}, tool: {kind: noop}}]\n").loop
        rows = Rows([{"x": 1}])

        assert loop is not None
        assert items_of(loop).evaluate({"ctx": {"x": rows}}) is rows

    def test_a_number_in_flight_may_be_text(self) -> None:
        loop = step(
            "workflow: [{step: a, loop: {in: [1], spec: {max_in_flight: '4'}}, tool: {kind: noop}}]\n"
        ).loop

        assert loop is not None
        assert (loop.limit, loop.bound) == (4, None)

    def test_a_tool_s_iterator_is_a_sequential_loop_with_two_names(self) -> None:
        body = "workflow: [{step: a, tool: {kind: python, code: 'result = 1', iterator: {items: '{{ ctx.x }}', item: row}, input: {r: '{{ row }}', i: '{{ item }}'}}}]\n"
        loop = step(body).loop

        assert loop is not None
        assert (loop.iterator, loop.parallel) == ("row", False)
        assert (pipeline(body).iterator, pipeline(body).alias) == ("row", "item")
        assert step(body).reads == frozenset()

    def test_a_while_loop_has_a_condition_and_no_collection(self) -> None:
        loop = step(
            "workflow: [{step: a, loop: {while: '{{ ctx.x }}', spec: {mode: parallel}}, tool: {kind: noop}}]\n"
        ).loop

        assert loop is not None
        assert loop.while_ is not None
        assert (loop.items, loop.parallel, loop.grows) == (None, False, True)

    def test_a_frames_loop_cuts_a_table_into_slices(self) -> None:
        loop = step(
            "workflow: [{step: a, loop: {frames: '{{ workload.t }}', rows: 3}, tool: {kind: noop}}]\n"
        ).loop

        assert loop is not None
        assert (loop.rows, loop.grows) == (3, False)

    @pytest.mark.parametrize("loop", ["in: [1, 2]", "frames: '{{ workload.t }}'"])
    def test_small_iterations_travel_as_many_to_a_block_as_the_author_says(self, loop: str) -> None:
        frame = "frame: {max_rows: 50, row_concurrency: '{{ workload.n }}'}"
        found = step(
            f"workload: {{n: 4}}\nworkflow: [{{step: a, loop: {{{loop}, spec: {{{frame}}}}}, tool: {{kind: noop}}}}]\n"
        ).loop

        assert found is not None
        assert (found.bundle, count_of(found.row_concurrency, {"n": 4})) == (50, 4)

    @pytest.mark.parametrize(
        ("mode", "more", "why"),
        [
            ("sequential", "set: {ctx.n: 1}", "each may read `ctx.n`, which the one before writes"),
            ("sequential", "set: {step.n: 1}", "each may read `step.n`, which the one before writes"),
            ("parallel", "spec: {effects: at_most_once}", "each runs at most once"),
        ],
    )
    def test_iterations_that_must_know_of_each_other_travel_alone(
        self, mode: str, more: str, why: str
    ) -> None:
        spec = f"{{mode: {mode}, frame: {{max_rows: 50}}}}"
        body = f"workflow: [{{step: a, loop: {{in: [1], spec: {spec}}}, tool: {{kind: noop, {more}}}}}]\n"
        found = step(body).loop

        assert found is not None
        assert found.bundle == 1
        assert any(f"its iterations travel one by one: {why}" in each for each in warnings(body))

    def test_parallel_iterations_that_write_travel_together(self) -> None:
        spec = "{mode: parallel, frame: {max_rows: 50}}"
        body = f"workflow: [{{step: a, loop: {{in: [1], spec: {spec}}}, tool: {{kind: noop, set: {{ctx.n: 1}}}}}}]\n"
        found = step(body).loop

        assert found is not None
        assert found.bundle == 50

    def test_slices_of_an_sql_result_are_of_its_rows(self) -> None:
        loop = step(
            "workflow: [{step: a, loop: {frames: '{{ ctx.t }}', rows: 3}, tool: {kind: noop}}]\n"
        ).loop

        assert loop is not None
        assert items_of(loop).evaluate({"ctx": {"t": {"rows": [{"n": 1}], "row_count": 1}}}) == [{"n": 1}]

    @pytest.mark.parametrize("name", ["job", "event", "ctx", "step"])
    def test_an_item_whose_name_means_something_else_is_warned_of(self, name: str) -> None:
        body = f"workflow: [{{step: a, loop: {{in: [1], iterator: {name}}}, tool: {{kind: noop}}}}]\n"

        (warning,) = warnings(body)

        assert f"the bare name '{name}' never means the item; read `iter.{name}`" in warning

    def test_a_cursor_s_claim_is_a_pipeline_of_its_own(self) -> None:
        body = (
            "workflow: [{step: a, loop: {cursor: {kind: duckdb, options: {pool: {name: '{{ workload.db }}'}}, "
            "claim: 'select {{ __frame_max_rows }}'}, iterator: row, "
            "spec: {mode: cursor, max_in_flight: 3, frame: {max_rows: 50, row_concurrency: 4}}}, "
            "tool: {kind: noop}}]\n"
        )
        loop = step(body).loop

        assert loop is not None
        assert (loop.frame_rows, loop.limit, loop.row_concurrency, loop.whole_frames) == (50, 3, 4, False)
        assert [each.kind for each in loop.cursor.tasks] == ["duckdb"]
        assert loop.claims == {("workload", "db"), ("__frame_max_rows",)}

    def test_a_loop_goes_by_one_thing(self) -> None:
        with pytest.raises(InvalidPlaybook, match="a loop goes by one of `in`, `while`, `frames`, `cursor`"):
            step("workflow: [{step: a, loop: {in: [1], while: '{{ ctx.x }}'}, tool: {kind: noop}}]\n")

    def test_an_iterator_inside_a_pipeline_belongs_to_its_task(self) -> None:
        body = (
            "workflow: [{step: a, loop: {in: [1], iterator: x}, tool: "
            "[{name: t, kind: noop, iterator: {items: '{{ x }}', item: y}, result: '{{ y }}{{ item }}'}]}]\n"
        )

        assert pipeline(body).iterator == "x"
        assert pipeline(body).tasks[0].repeat is not None
        assert step(body).reads == frozenset()
