"""Data contracts: what a step's output must look like, and what becomes of one that does not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.core.events import ROUTE, BlockCompleted, BlockFailed
from noetl_stream.core.values import Ref
from noetl_stream.ports.frames import Cache
from noetl_stream.tools.sql import Statement, sql_result
from noetl_stream.worker.hydrate import hydrate
from tests.worker.stage import Act, Stage, played

ORDERS = [
    {"id": 1, "amount": 10.5, "day": "2024-01-01"},
    {"id": 2, "amount": -3, "day": "2024-01-02"},
    {"id": 2, "amount": None, "day": "someday"},
    {"id": "x", "amount": 7, "day": "2024-01-04"},
]


async def expecting(expect: str, rows: Any, cache: Cache, more: str = "") -> Stage:
    """A step `load` that yields `rows` and is held to `expect`."""
    document = f"- step: load\n  tool: {{kind: act}}\n  expect: {expect}\n{more}"
    return await played(
        document, cache, Act(lambda call: rows if call.config.say is None else call.config.say)
    )


def found(stage: Stage) -> dict[str, Any]:
    outcome = stage.outcomes[0]
    assert isinstance(outcome, BlockCompleted | BlockFailed)
    findings: dict[str, Any] = outcome.findings
    return findings


def messages(stage: Stage) -> list[str]:
    return [each["message"] for each in found(stage)["checks"]]


async def test_a_result_that_keeps_its_contract_passes_and_its_event_says_so(cache: Cache) -> None:
    stage = await expecting("{schema: {id: int, day: date}, rows: {min: 1}}", ORDERS[:2], cache)

    assert stage.results["load"] == ORDERS[:2]
    assert found(stage) == {
        "rows": 2,
        "violations": 0,
        "on_violation": "fail",
        "checks": [],
        "quarantined": None,
    }


async def test_a_result_that_breaks_its_contract_fails_the_step_before_anyone_reads_it(cache: Cache) -> None:
    stage = await expecting(
        '{checks: ["amount >= 0"]}',
        ORDERS,
        cache,
        "  next: {arcs: [{step: well}, {step: broken, on: error}]}\n"
        "- {step: well, tool: {kind: act, say: well}}\n"
        "- {step: broken, tool: {kind: act, say: '{{ [error.kind, error.message] }}'}}\n",
    )

    assert stage.act.said[1:] == [
        [
            "validation",
            "the result of step 'load' breaks its contract: `amount >= 0` does not hold in 1 of 4 rows, "
            "rows[1] for one",
        ]
    ]
    assert stage.outcomes[0].result is None  # type: ignore[union-attr]


async def test_every_condition_is_asked_and_told_with_its_column_its_count_and_a_row(cache: Cache) -> None:
    stage = await expecting(
        "{schema: {id: int, amount: float, day: date, note: str}, not_null: amount, unique: id, "
        'checks: ["amount >= 0"], rows: {min: 5, max: 9}, on_violation: warn}',
        ORDERS,
        cache,
    )

    assert messages(stage) == [
        "column 'note' is missing",
        "column 'id' is not int in 1 of 4 rows, rows[3] for one",
        "column 'day' is not date in 1 of 4 rows, rows[2] for one",
        "column 'amount' is null in 1 of 4 rows, rows[2] for one",
        "'id' is not unique in 2 of 4 rows, rows[1] for one",
        "`amount >= 0` does not hold in 1 of 4 rows, rows[1] for one",
        "there are 4 rows, at least 5 are expected",
    ]
    assert stage.results["load"] == ORDERS
    assert found(stage)["checks"][5] == {
        "check": "amount >= 0",
        "column": None,
        "count": 1,
        "row": 1,
        "message": "`amount >= 0` does not hold in 1 of 4 rows, rows[1] for one",
    }


async def test_bad_rows_are_set_aside_and_the_good_ones_are_the_result(cache: Cache) -> None:
    stage = await expecting(
        "{schema: {id: int}, not_null: [amount], on_violation: quarantine}",
        ORDERS,
        cache,
        "  next: look\n"
        "- {step: look, next: [{step: more, when: '{{ steps.load.quarantined | length == 2 }}'}]}\n"
        "- {step: more, tool: {kind: act, say: '{{ [load | length, steps.load.quarantined[1].id, steps.load.findings.violations] }}'}}\n",
    )

    assert stage.results["load"] == ORDERS[:2]
    assert stage.act.said[1] == [2, "x", 2]
    aside = found(stage)["quarantined"]
    assert isinstance(aside, Ref)
    assert await hydrate(cache, aside) == ORDERS[2:]
    assert ROUTE not in [outcome.block.iteration for outcome in stage.outcomes]


async def test_a_table_is_parted_as_a_table(cache: Cache) -> None:
    frame = pl.DataFrame({"n": range(1000), "text": ["x" * 10] * 1000})
    stage = await expecting(
        '{schema: {n: int64}, checks: ["n < 990"], on_violation: quarantine}',
        frame,
        cache,
        "  next: more\n- {step: more, tool: {kind: act, say: '{{ [load | length, load[989].n] }}'}}\n",
    )

    assert stage.act.said[1] == [990, 989]
    result, aside = stage.results["load"], found(stage)["quarantined"]
    assert (result.format, result.rows, aside.format, aside.rows) == ("arrow", 990, "arrow", 10)


async def test_of_an_sql_result_the_rows_are_parted_wherever_they_stand(cache: Cache) -> None:
    table = pa.table({"n": [1, 2, 3]})
    stage = await expecting(
        '{checks: ["n <> 2"], on_violation: quarantine}', sql_result([Statement(table=table)]), cache
    )

    result = await hydrate(cache, stage.results["load"])
    assert list(result["rows"]) == list(result["command_0"]["rows"]) == [{"n": 1}, {"n": 3}]
    assert (result["row_count"], result["command_0"]["row_count"]) == (2, 2)


async def test_what_is_wrong_with_the_whole_table_cannot_be_set_aside(cache: Cache) -> None:
    stage = await expecting(
        "{rows: {min: 3}, checks: ['amount > 0'], on_violation: quarantine}", ORDERS, cache
    )
    few = await expecting("{rows: {min: 4}, checks: ['amount > 0'], on_violation: quarantine}", ORDERS, cache)

    assert len(stage.results["load"]) == 3
    assert few.log.error is not None
    assert few.log.error.message == (
        "the result of step 'load' breaks its contract: there are 3 rows, at least 4 are expected"
    )


@pytest.mark.parametrize("result", [7, None, ["a"], {"n": 1}])
async def test_a_result_that_is_no_table_keeps_no_contract(cache: Cache, result: Any) -> None:
    stage = await expecting("{schema: {n: int}}", result, cache)

    assert stage.log.error is not None
    assert stage.log.error.message.startswith(
        "the result of step 'load' breaks its contract: the result is no table but"
    )


async def test_an_empty_list_breaks_no_schema(cache: Cache) -> None:
    stage = await expecting("{schema: {n: int}, not_null: n, unique: n, checks: ['n > 0']}", [], cache)

    assert stage.results["load"] == []


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", [1, 2.0, None], ["7", 1.5, True]),
        ("uint8", [0, 255], [256, -1]),
        ("int32", [2**31 - 1], [2**31]),
        ("float", [1, 2.5], ["1.5", False]),
        ("decimal(10,2)", [1, "2.50"], ["two", []]),
        ("string", ["", "x"], [1, {}]),
        ("bool", [True], [0, "true"]),
        ("date", ["2024-02-29"], ["2023-02-29", 20240101]),
        ("timestamp", ["2024-02-29T12:00:00Z", "2024-02-29 12:00:00"], ["noon"]),
        ("time", ["12:30:00"], ["25:00"]),
        ("interval", [90, 1.5], ["90 s"]),
        ("array<int>", [[1]], ["[1]"]),
        ("object", [{"a": 1}], [[1]]),
        ("any", [1, "x", None], []),
    ],
)
async def test_a_type_is_asked_of_each_value_of_a_list(
    cache: Cache, kind: str, good: list[Any], bad: list[Any]
) -> None:
    rows = [{"v": value} for value in (*good, *bad)]
    stage = await expecting(f"{{schema: {{v: '{kind}'}}, on_violation: quarantine}}", rows, cache)

    assert stage.results["load"] == rows[: len(good)]


@pytest.mark.parametrize(
    ("kind", "values", "dtype", "bad"),
    [
        ("int", [1, 2], pa.int16(), 0),
        ("int", [1.0, 1.5], pa.float64(), 1),
        ("int", [Decimal(7)], pa.decimal128(38, 0), 0),
        ("int8", [1, 1000], pa.int64(), 1),
        ("int", ["1", None], pa.string(), 1),
        ("float", [1, 2], pa.int32(), 0),
        ("decimal", [Decimal("1.50")], pa.decimal128(10, 2), 0),
        ("date", [date(2024, 1, 1)], pa.date32(), 0),
        ("date", ["2024-01-01", "soon"], pa.string(), 1),
        ("datetime", ["2024-01-01T10:00:00", "soon"], pa.string(), 1),
        ("text", ["x"], pa.dictionary(pa.int32(), pa.string()), 0),
        ("object", [{"a": 1}], pa.struct([("a", pa.int64())]), 0),
        ("list", [[1]], pa.list_(pa.int64()), 0),
        ("bool", [None, None], pa.null(), 0),
    ],
)
async def test_a_type_is_asked_of_the_columns_of_a_table(
    cache: Cache, kind: str, values: list[Any], dtype: pa.DataType, bad: int
) -> None:
    table = pa.table({"v": pa.array(values, dtype)})
    stage = await expecting(f"{{schema: {{v: {kind}}}, on_violation: warn}}", table, cache)

    assert found(stage)["violations"] == bad


async def test_null_breaks_no_check_and_no_uniqueness(cache: Cache) -> None:
    rows = [{"n": None, "m": None}, {"n": None, "m": 1}]
    stage = await expecting('{unique: [n, [n, m]], checks: ["n > 0"]}', rows, cache)

    assert stage.results["load"] == rows


async def test_columns_may_be_unique_together(cache: Cache) -> None:
    rows = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}]
    stage = await expecting("{unique: [[a, b]], on_violation: warn}", rows, cache)

    assert messages(stage) == ["'a, b' is not unique in 2 of 3 rows, rows[1] for one"]


async def test_bounds_and_checks_may_be_templates(cache: Cache) -> None:
    document = (
        "workload: {least: 3, floor: 5}\n"
        "workflow:\n"
        "- step: load\n"
        "  tool: {kind: act}\n"
        "  expect: {rows: {min: '{{ least }}'}, checks: ['n >= {{ workload.floor }}'], on_violation: warn}\n"
    )
    stage = await played(document, cache, Act(lambda call: [{"n": 4}]))

    assert messages(stage) == [
        "`n >= {{ workload.floor }}` does not hold in 1 of 1 rows, rows[0] for one",
        "there are 1 rows, at least 3 are expected",
    ]


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("nothing > 0", "the check `nothing > 0` reads column 'nothing', which the result lacks"),
        ("n >", "the check `n >` is no SQL condition"),
        ("n > 'x' and upper(n) = 'A'", "cannot be asked of these columns"),
    ],
)
async def test_a_check_that_cannot_be_asked_fails_the_step_whatever_is_done_about_violations(
    cache: Cache, check: str, why: str
) -> None:
    stage = await expecting(f'{{checks: ["{check}"], on_violation: warn}}', [{"n": 1}], cache)

    assert stage.log.error is not None
    assert stage.log.error.kind == "validation"
    assert why in stage.log.error.message


async def test_each_iteration_is_held_to_the_contract_and_the_loop_counts(cache: Cache) -> None:
    document = (
        "- step: load\n"
        "  loop: {in: [[{n: 1}], [{n: -1}, {n: 2}]], iterator: rows}\n"
        "  tool: {kind: act, say: '{{ rows }}'}\n"
        "  expect: {checks: ['n > 0'], on_violation: quarantine}\n"
        "  next: more\n"
        "- {step: more, tool: {kind: act, say: '{{ steps.load.findings }}'}}\n"
    )
    stage = await played(document, cache)

    assert stage.results["load"]["results"] == [[{"n": 1}], [{"n": 2}]]
    assert stage.act.said[-1] == {"rows": 3, "violations": 1}


async def test_what_a_pipeline_sets_aside_is_in_no_result_of_its_tasks(cache: Cache) -> None:
    document = (
        "- step: load\n"
        "  tool: [{name: a, kind: act, say: 1}, {name: b, kind: act, say: [{n: 1}, {n: -1}]}]\n"
        "  expect: {checks: ['n > 0'], on_violation: quarantine}\n"
        "  next: more\n"
        "- {step: more, tool: {kind: act, say: '{{ load.results }}'}}\n"
    )
    stage = await played(document, cache)

    assert stage.act.said[-1] == {"a": 1, "b": [{"n": 1}]}


@pytest.mark.parametrize("read", ["steps.load.", "output."])
@pytest.mark.parametrize("more", ["", " and quarantined | length == 10"], ids=["by the owner", "by a worker"])
async def test_a_step_s_own_arcs_read_what_its_contract_found(cache: Cache, read: str, more: str) -> None:
    when = f"{{{{ {read}findings.violations == 10{more.replace('quarantined', read + 'quarantined')} }}}}"
    stage = await expecting(
        '{checks: ["n < 990"], on_violation: quarantine}',
        [{"n": n, "text": "x" * 100} for n in range(1000)],
        cache,
        f"  next: {{arcs: [{{step: yes, when: '{when}'}}, {{step: no}}]}}\n"
        "- {step: yes, tool: {kind: act, say: yes}}\n"
        "- {step: no, tool: {kind: act, say: no}}\n",
    )

    assert stage.act.said[1] == "yes"
    assert (ROUTE in [outcome.block.iteration for outcome in stage.outcomes]) is bool(more)
