"""`policy.schema.output`: a result that is not what the playbook promises is nobody's result."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from noetl_stream.core.events import BlockCompleted, BlockFailed
from noetl_stream.core.values import Ref
from noetl_stream.errors import InvalidPlaybook
from noetl_stream.ports.frames import Cache
from noetl_stream.worker.hydrate import hydrate
from tests.worker.stage import Act, Stage, plan_of, played

NUMBERS = "{type: object, required: [n], properties: {n: {type: integer}}}"
ROWS = "{type: array, items: {properties: {amount: {minimum: 0}}}}"


async def promising(schema: str, result: Any, cache: Cache, more: str = "", steps: str = "") -> Stage:
    """A step `load` that yields `result`, in a playbook that promises `schema`."""
    steps = steps or "- {step: load, tool: {kind: act}}\n"
    document = f"policy: {{schema: {{output: {schema}{more}}}}}\nworkflow:\n{steps}"
    return await played(document, cache, Act(lambda call: result))


def findings(stage: Stage) -> Any:
    outcome = stage.outcomes[-1]
    assert isinstance(outcome, BlockCompleted | BlockFailed)
    return outcome.findings


async def test_a_result_that_fits_is_the_executions_own(cache: Cache) -> None:
    stage = await promising(NUMBERS, {"n": 3}, cache)

    assert (stage.log.status, stage.log.result) == ("COMPLETED", {"n": 3})


async def test_a_result_that_does_not_fit_fails_the_execution_with_its_place_and_what_was_promised(
    cache: Cache,
) -> None:
    stage = await promising(NUMBERS, {"n": "secret"}, cache)

    error = stage.log.error
    assert error is not None
    assert (stage.log.status, error.kind, error.step) == ("FAILED", "validation", "policy.schema.output")
    assert (
        error.message == "the result.n of step 'load' is not what the playbook promises, `type: \"integer\"`"
    )
    assert error.place == "policy.schema.output (sales.yaml:4:27)"


@pytest.mark.parametrize("rows", [2, 50_000])
async def test_a_table_is_asked_where_it_stands_and_not_stored_again(cache: Cache, rows: int) -> None:
    table = pl.DataFrame({"amount": [1] * (rows - 1) + [-1]})

    stage = await promising(ROWS, table, cache)

    assert stage.log.error is not None
    assert stage.log.error.message == (
        f"the result[{rows - 1}].amount of step 'load' is not what the playbook promises, `minimum: 0`"
    )
    assert isinstance(stage.results["load"], Ref)
    assert stage.outcome.result is None


async def test_a_large_result_is_asked_on_a_worker(cache: Cache) -> None:
    large = {"n": 1, "text": "x" * 300_000}

    stage = await promising(NUMBERS, large, cache)

    assert stage.log.status == "COMPLETED"
    assert isinstance(stage.log.result, Ref)
    assert stage.offers[-1].block.step == "policy.schema.output"


async def test_a_loops_results_are_asked_together(cache: Cache) -> None:
    stage = await promising(
        "{properties: {results: {items: {type: string}}, stats: {properties: {failed: {maximum: 0}}}}}",
        7,
        cache,
        steps="- {step: load, loop: {in: 2}, tool: {kind: act}}\n",
    )

    assert stage.log.error is not None
    assert "the result.results[1] of step 'load' is not what the playbook promises" in stage.log.error.message


async def test_the_final_steps_result_is_asked_and_no_other(cache: Cache) -> None:
    document = (
        f"policy: {{schema: {{output: {NUMBERS}}}}}\n"
        "executor: {spec: {final_step: load}}\n"
        "workflow:\n"
        "- {step: load, tool: {kind: act, say: {n: 1}}, next: after}\n"
        "- {step: after, tool: {kind: act, say: nothing}}\n"
    )

    stage = await played(document, cache)

    assert (stage.log.status, stage.log.result) == ("COMPLETED", {"n": 1})


async def test_a_result_that_drifts_may_be_let_pass_and_is_told(cache: Cache) -> None:
    stage = await promising(NUMBERS, {"n": "x"}, cache, ", on_drift: widen")

    assert (stage.log.status, stage.log.result) == ("COMPLETED", {"n": "x"})
    assert findings(stage)["violations"] == 1
    assert findings(stage)["checks"][0]["column"] == ".n"


async def test_a_result_that_is_quarantined_fails_and_stands_apart_with_what_was_found(cache: Cache) -> None:
    stage = await promising(NUMBERS, {"n": "x"}, cache, ", on_drift: quarantine")

    assert stage.log.status == "FAILED"
    assert isinstance(findings(stage)["quarantined"], Ref)
    assert await hydrate(cache, findings(stage)["quarantined"]) == {"n": "x"}


async def test_an_execution_that_breaks_its_promise_runs_its_step_for_failures(cache: Cache) -> None:
    document = (
        f"policy: {{schema: {{output: {NUMBERS}}}, on_failure: {{step: tidy}}}}\n"
        "workflow:\n"
        "- {step: load, tool: {kind: act, say: 1}}\n"
        "- {step: tidy, tool: {kind: act, say: '{{ error.kind }} {{ error.step }}'}}\n"
    )
    act = Act()

    stage = await played(document, cache, act)

    assert act.said == [1, "validation policy.schema.output"]
    assert stage.log.status == "FAILED"


async def test_a_step_that_fails_is_not_asked_for_a_result(cache: Cache) -> None:
    document = f"policy: {{schema: {{output: {NUMBERS}}}}}\nworkflow: [{{step: load, tool: {{kind: act, say: '{{{{ 1 / 0 }}}}'}}}}]\n"

    stage = await played(document, cache)

    assert stage.log.error is not None
    assert stage.log.error.step == "load"
    assert stage.log.entered() == ["load"]


async def test_a_rule_of_the_document_cannot_keep_the_question_from_being_asked(cache: Cache) -> None:
    document = (
        f"policy: {{schema: {{output: {NUMBERS}}}}}\n"
        "executor: {spec: {policy: {admit: {rules: [{when: '{{ loaded is defined }}', then: {allow: false}}]}}}}\n"
        "workload: {loaded: null}\n"
        "workflow: [{step: load, spec: {policy: {admit: {rules: []}}}, tool: {kind: act, say: 1}}]\n"
    )

    assert (await played(document, cache)).log.status == "FAILED"


def test_what_is_no_json_schema_is_an_error_with_its_place() -> None:
    with pytest.raises(
        InvalidPlaybook, match=r"sales.yaml:4:27: error: `policy.schema.output` is no JSON Schema"
    ):
        plan_of("policy: {schema: {output: {type: 7}}}\nworkflow: [{step: a, tool: {kind: noop}}]\n")
