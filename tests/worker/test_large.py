"""What is too large for the log, end to end: conditions, collections and variables that a worker must look into."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import ITEMS, ROUTE, BlockCompleted
from noetl_stream.core.values import Ref, Value
from noetl_stream.ports.frames import Cache
from noetl_stream.tools.sql import Statement, sql_result
from noetl_stream.wire.codec import encode, encode_offer
from noetl_stream.wire.values import encode_value
from noetl_stream.worker.hydrate import hydrate
from tests.worker.stage import Act, Stage, played

RECORD = 256 * 1024
ROWS = [{"n": n, "text": "x" * 100} for n in range(10_000)]


def act_with(big: object) -> Act:
    return Act(lambda call: big if call.config.say == "big" else call.config.say)


def kinds_of(stage: Stage) -> list[int]:
    return [outcome.block.iteration for outcome in stage.outcomes]


def largest(stage: Stage) -> int:
    """Bytes of the largest record, in the log or on its way to a pool."""
    events = [len(encode(record.event)) for record in stage.log.log]
    return max(*events, *(len(encode_offer(each)) for each in stage.offers))


async def test_arcs_that_read_a_megabyte_are_followed_by_a_worker(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  set: {ctx.n: '{{ load.rows | length }}'}\n"
        "  next:\n"
        "    arcs:\n"
        "      - {step: few, when: '{{ load.rows | length < 10 }}'}\n"
        "      - {step: many, when: '{{ load.rows | length >= 10 and load.rows[9999].n == 9999 }}', args: {n: '{{ load.rows | length }}'}}\n"
        "- {step: few, tool: {kind: act, say: few}}\n"
        "- {step: many, tool: {kind: act, say: '{{ input.n }}'}}\n",
        cache,
        act_with({"rows": ROWS}),
    )

    assert stage.act.said == ["big", 10_000]
    assert stage.ctx == {"n": 10_000}
    assert ROUTE in kinds_of(stage)
    assert largest(stage) < 10_000


async def test_a_condition_on_a_part_needs_no_worker(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: [{step: more, when: '{{ load.count > 3 }}'}]\n"
        "- {step: more, tool: {kind: act, say: more}}\n",
        cache,
        act_with({"rows": ROWS, "count": 4}),
    )

    assert stage.act.said == ["big", "more"]
    assert kinds_of(stage) == [0, 0]


async def test_large_values_that_an_ending_writes_and_hands_on_stay_in_the_cache(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  set: {ctx.rows: '{{ load.rows }}', ctx.some: '{{ load.rows[:2] | length }}'}\n"
        "  next: [{step: more, args: {rows: '{{ load.rows[1:] }}'}}]\n"
        "- {step: more, tool: {kind: act, say: '{{ [ctx.rows | length, input.rows | length, ctx.some] }}'}}\n",
        cache,
        act_with({"rows": ROWS}),
    )

    assert stage.act.said == ["big", [10_000, 9_999, 2]]
    assert isinstance(stage.ctx["rows"], Ref)
    assert largest(stage) < 10_000


async def test_a_table_may_be_written_and_handed_on_by_an_ending(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  set: {ctx.t: '{{ load.rows }}', ctx.n: '{{ load.rows | map(attribute=\"n\") | sum }}'}\n"
        "  next: [{step: more, args: {t: '{{ load.rows }}'}}]\n"
        "- {step: more, tool: {kind: act, say: '{{ [ctx.t | length, input.t | length, ctx.n] }}'}}\n",
        cache,
        act_with({"rows": pl.DataFrame({"n": range(500)})}),
    )

    assert stage.act.said == ["big", [500, 500, 124_750]]


async def test_an_ending_that_fails_on_a_worker_takes_its_arc_for_failures(cache: Cache) -> None:
    """As it would where the owner itself evaluates it."""
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  set: {ctx.n: '{{ (load.rows | length) / 0 }}'}\n"
        "  next: {arcs: [{step: well}, {step: broken, on: error}]}\n"
        "- {step: well, tool: {kind: act, say: well}}\n"
        "- {step: broken, tool: {kind: act, say: '{{ error.message }}'}}\n",
        cache,
        act_with({"rows": ROWS}),
    )

    assert ROUTE in kinds_of(stage)
    assert stage.act.said[0] == "big"
    assert "division by zero" in stage.act.said[1]


async def test_an_arc_that_must_match_fails_the_step_on_a_worker_too(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: {spec: {on_no_match: fail}, arcs: [{step: few, when: '{{ load.rows | length < 10 }}'}]}\n"
        "- {step: few, tool: {kind: noop}}\n",
        cache,
        act_with({"rows": ROWS}),
    )

    assert stage.log.error is not None
    assert stage.log.error.message == "no arc of step 'load' matches"


async def test_a_large_list_is_materialised_once_and_cut_by_index(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: each\n"
        "- step: each\n"
        "  loop: {in: '{{ load.rows }}', iterator: row, spec: {mode: parallel, max_in_flight: 100}}\n"
        "  tool: {kind: act, say: '{{ [row.n, iter.index, iter.total] }}'}\n",
        cache,
        act_with({"rows": ROWS[:1200]}),
    )

    assert stage.act.said[1:] == [[n, n, 1200] for n in range(1200)]
    assert kinds_of(stage).count(ITEMS) == 1
    assert largest(stage) < 70_000
    each = await hydrate(cache, stage.results["each"])
    assert each["results"][1199] == [1199, 1199, 1200]
    assert each["stats"] == {"total": 1200, "success": 1200, "failed": 0}


async def test_the_rows_of_a_table_are_items_without_being_copied(cache: Cache) -> None:
    days = pl.DataFrame({"n": range(300), "day": [date(2013, 1, 1)] * 300})
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: each\n"
        "- step: each\n"
        "  loop: {in: '{{ load.rows }}', iterator: row}\n"
        "  tool: {kind: act, say: '{{ row }}'}\n",
        cache,
        act_with({"rows": days}),
    )

    items = next(o for o in stage.outcomes if o.block.iteration == ITEMS)
    assert isinstance(items, BlockCompleted)
    assert items.result["items"].uri.startswith(f"cache:{stage.log.execution.id}/load/")
    assert stage.act.said[1] == {"n": 0, "day": "2013-01-01"}
    assert stage.act.said[300] == {"n": 299, "day": "2013-01-01"}


async def test_items_may_hold_references_of_their_own(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: each\n"
        "- step: each\n"
        "  loop: {in: '{{ load.parts }}', iterator: part}\n"
        "  tool: {kind: act, say: '{{ [part.rows | length, part.text | length] }}'}\n",
        cache,
        act_with(
            {"parts": [{"rows": pl.DataFrame({"n": range(n)}), "text": "x" * 70_000} for n in (200, 300)]}
        ),
    )

    assert stage.act.said[1:] == [[200, 70_000], [300, 70_000]]


async def test_what_is_no_collection_fails_the_step_by_name(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        "  next: each\n"
        "- step: each\n"
        "  loop: {in: '{{ (load.rows | length) / 3 }}', iterator: row}\n"
        "  tool: {kind: act, say: never}\n",
        cache,
        act_with({"rows": ROWS}),
    )

    assert stage.log.error is not None
    assert (stage.log.error.kind, stage.log.error.step) == ("validation", "each")
    assert "a loop goes over a list, a mapping or a number, not a float" in stage.log.error.message


async def test_results_of_iterations_are_small_in_the_log(cache: Cache) -> None:
    stage = await played(
        "- step: each\n"
        "  loop: {in: [1, 2, 3], iterator: n}\n"
        "  tool: {kind: act, say: big}\n"
        "  next: last\n"
        "- {step: last, tool: {kind: act, say: '{{ each.results[2].text | length }}'}}\n",
        cache,
        act_with({"text": "x" * 5000}),
    )

    assert len(encode_value(stage.outcomes[0].result)) < 1024  # type: ignore[union-attr]
    assert stage.act.said[-1] == 5000


class CountingCache(LocalCache):
    """Counts what is fetched from it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []

    async def json(self, ref: Ref) -> Value:
        self.fetched.append(ref.uri)
        return await super().json(ref)

    async def read(self, name: str) -> bytes:
        self.fetched.append(name)
        return await super().read(name)


@pytest.mark.parametrize("iterations", [20, 2500])
async def test_who_names_one_element_of_a_loop_s_results_fetches_no_other(
    tmp_path: Path, iterations: int
) -> None:
    cache = CountingCache(tmp_path)
    stage = await played(
        "- step: each\n"
        f"  loop: {{in: {iterations}, iterator: n, spec: {{mode: parallel, max_in_flight: 100}}}}\n"
        "  tool: {kind: act, say: big}\n"
        "  next: last\n"
        "- {step: last, tool: {kind: act, say: '{{ [each.results[-1].text | length, each.data[17].n, each.stats.success] }}'}}\n",
        cache,
        Act(lambda call: {"n": 7, "text": "x" * 5000} if call.config.say == "big" else call.config.say),
    )

    assert stage.act.said[-1] == [5000, 7, iterations]
    chunks = [name for name in cache.fetched if name.startswith("loops/")]
    assert len(chunks) == (0 if iterations == 20 else 2)
    assert len(cache.fetched) - len(chunks) == 2


async def test_an_element_that_is_not_there_is_undefined_and_a_whole_list_is_fetched_whole(
    cache: Cache,
) -> None:
    stage = await played(
        "- step: each\n"
        "  loop: {in: 3, iterator: n}\n"
        "  tool: {kind: act, say: big}\n"
        "  next: one\n"
        "- {step: one, tool: {kind: act, say: '{{ each.results[9] is defined }}'}, next: all}\n"
        "- {step: all, tool: {kind: act, say: '{{ each.results[0].text == each.results | map(attribute=\"text\") | last }}'}}\n",
        cache,
        act_with({"text": "x" * 5000}),
    )

    assert stage.act.said[-2:] == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "table", "sql"])
async def test_thirty_megabytes_from_one_step_go_through_no_record(cache: Cache, form: str) -> None:
    rows = [{"n": n, "text": "x" * 280} for n in range(100_000)]
    big: Any = {"rows": rows}
    if form == "table":
        big = pl.DataFrame(rows)
    if form == "sql":
        big = sql_result([Statement(table=pl.DataFrame(rows).to_arrow())])
    look = "load" if form == "table" else "load.rows"
    stage = await played(
        "- step: load\n"
        "  tool: {kind: act, say: big}\n"
        f"  set: {{ctx.all: '{{{{ {look} }}}}'}}\n"
        f"  next: [{{step: more, when: '{{{{ {look} | length == 100000 }}}}', args: {{rows: '{{{{ {look} }}}}'}}}}]\n"
        "- {step: more, tool: {kind: act, say: '{{ [input.rows | length, ctx.all[99999].n] }}'}}\n",
        cache,
        act_with(big),
    )

    assert stage.act.said[1] == [100_000, 99_999]
    assert largest(stage) < RECORD


@pytest.mark.slow
async def test_a_quarter_of_a_megabyte_from_each_of_a_thousand_iterations_goes_through_no_record(
    cache: Cache,
) -> None:
    stage = await played(
        "- step: each\n"
        "  loop: {in: 1001, iterator: n, spec: {mode: parallel, max_in_flight: 50}}\n"
        "  tool: {kind: act, say: big}\n"
        "  next: [{step: last, when: '{{ each.stats.success == 1001 }}'}]\n"
        "- {step: last, tool: {kind: act, say: '{{ each.results[1000].text | length }}'}}\n",
        cache,
        act_with({"text": "x" * 250_000}),
    )

    assert stage.act.said[-1] == 250_000
    assert largest(stage) < RECORD


async def test_a_block_that_reads_everything_is_sent_no_more_than_a_record(cache: Cache) -> None:
    """Each result, each variable and each input would be small enough by itself."""
    steps = "".join(
        f"- {{step: s{n}, tool: {{kind: act, say: big}}, set: {{ctx.v{n}: '{{{{ s{n}.text }}}}'}}, next: s{n + 1}}}\n"
        for n in range(6)
    )
    said = ", ".join(f"s{n}.text, steps.s{n}.status, ctx.v{n}" for n in range(6))
    stage = await played(
        f"{steps}- {{step: s6, tool: {{kind: act, say: '{{{{ [{said}] | map(\"length\") | list }}}}'}}}}\n",
        cache,
        act_with({"text": "x" * 60_000}),
    )

    assert stage.act.said[-1] == [60_000, 4, 60_000] * 6
    assert largest(stage) < RECORD
