"""Rows of a table read alike everywhere: by the owner from a reference's parts, and by workers from the cache."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.cache.local import LocalCache
from tests.worker.stage import Act, played

SMALL, LARGE = 2, 500
"""Rows: up to 100 travel in the reference; of more, the owner must ask a worker."""


def table(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"day": [dt.date(2026, 1, 31)] * rows, "amount": [Decimal("1.50")] * rows})


@pytest.mark.parametrize("rows", [SMALL, LARGE])
async def test_a_cell_is_the_same_in_a_set_an_arc_and_a_task(rows: int, cache: LocalCache) -> None:
    stage = await played(
        """
        - step: load
          tool: {kind: act}
          set: {ctx.seen: "{{ [load[-1].day == '2026-01-31', load[-1].amount * 2] }}"}
          next: [{step: read, when: "{{ load[-1].day == '2026-01-31' }}"}]
        - step: read
          tool: {kind: noop, result: "{{ [load[-1].day == '2026-01-31', load[-1].amount * 2] }}"}
        """,
        cache,
        Act(does=lambda _: table(rows)),
    )

    assert stage.ctx["seen"] == stage.results["read"] == [True, 3.0]


@pytest.mark.parametrize("rows", [SMALL, LARGE])
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("load[0]", {"day": "2026-01-31", "amount": 1.5}),
        ("load[:1]", [{"day": "2026-01-31", "amount": 1.5}]),
        ("load | first", {"day": "2026-01-31", "amount": 1.5}),
        ("load | selectattr('day', 'ne', '2026-01-31') | list", []),
    ],
)
async def test_whole_rows_are_json(template: str, expected: object, rows: int, cache: LocalCache) -> None:
    stage = await played(
        f"""
        - {{step: load, tool: {{kind: act}}, next: read}}
        - {{step: read, tool: {{kind: noop, result: "{{{{ {template} }}}}"}}}}
        """,
        cache,
        Act(does=lambda _: table(rows)),
    )

    assert stage.results["read"] == expected


async def test_a_tool_takes_the_table_with_its_own_types(cache: LocalCache) -> None:
    act = Act(does=lambda call: call.input["load"].arrow() if call.input else table(SMALL))
    await played(
        """
        - {step: load, tool: {kind: act}, next: read}
        - {step: read, tool: {kind: act, input: {load: "{{ load }}"}}}
        """,
        cache,
        act,
    )

    assert act.calls[1].input["load"].arrow()["amount"].to_pylist() == [Decimal("1.50")] * SMALL


async def test_bytes_and_maps_are_json_too(cache: LocalCache) -> None:
    pairs = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))
    stage = await played(
        """
        - {step: load, tool: {kind: act}, set: {ctx.row: "{{ load[0] }}"}, next: read}
        - {step: read, tool: {kind: noop, result: "{{ load[0] }}"}}
        """,
        cache,
        Act(does=lambda _: pa.table({"raw": [b"ab"], "pairs": pairs})),
    )

    assert stage.ctx["row"] == stage.results["read"] == {"raw": "YWI=", "pairs": {"k": 1}}
