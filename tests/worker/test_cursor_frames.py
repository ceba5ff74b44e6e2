"""What a cursor's `frame` says: how its claims are bounded, what they are told, and how often their rows are tried."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl
import pytest

from noetl_stream.core.events import BlockFailed
from noetl_stream.errors import InvalidPlaybook, ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call
from tests.worker.stage import Act, Stage, plan_of, played

ROWS = [{"n": n, "text": "x" * 90} for n in range(5)]
"""About a hundred bytes each."""


def claiming(frame: str, claim: str = "claim", say: str = "{{ row.n }}", more: str = "") -> str:
    return (
        "workload: {most: 250}\n"
        "workflow:\n"
        "- step: load\n"
        "  loop:\n"
        f"    cursor: {{kind: act, claim: '{claim}'{more}}}\n"
        "    iterator: row\n"
        f"    spec: {{max_in_flight: 1, frame: {frame}}}\n"
        f"  tool: {{kind: act, say: '{say}'}}\n"
    )


async def claimed(document: str, cache: Cache, *claims: Any) -> Stage:
    left = [*claims, []]
    act = Act(lambda call: {"rows": left.pop(0)} if call.config.query else call.config.say)
    return await played(document, cache, act)


def queries(stage: Stage) -> list[str]:
    return [call.config.query for call in stage.act.calls if call.config.query]


async def test_a_frame_is_cut_where_it_would_be_too_large_and_no_row_is_lost(cache: Cache) -> None:
    document = claiming(
        "{process: frame, max_bytes: '{{ most }}'}", say='{{ row | map(attribute="n") | list }}'
    )

    stage = await claimed(document, cache, ROWS)

    assert stage.results["load"]["results"] == [[0, 1], [2, 3], [4]]


async def test_a_row_that_is_larger_than_a_frame_is_one_by_itself(cache: Cache) -> None:
    document = claiming("{process: frame, max_bytes: 10}", say="{{ row | length }}")

    assert (await claimed(document, cache, ROWS[:3])).results["load"]["results"] == [1, 1, 1]


async def test_a_table_is_cut_into_tables(cache: Cache) -> None:
    document = claiming("{process: frame, max_bytes: 250}", say='{{ row | map(attribute="n") | list }}')

    stage = await claimed(document, cache, pl.DataFrame(ROWS))

    assert stage.results["load"]["results"] == [[0, 1], [2, 3], [4]]


async def test_a_claim_is_told_what_its_frame_says(cache: Cache) -> None:
    claim = " ".join(
        f"{{{{ __frame_{key} }}}}"
        for key in ("max_rows", "max_bytes", "max_seconds", "lease_seconds", "heartbeat_seconds")
    )
    frame = "{max_rows: 2, max_bytes: 9000, max_seconds: 5, lease_seconds: '{{ most }}', heartbeat_seconds: 1.5, process: frame}"

    assert queries(await claimed(claiming(frame, claim), cache)) == ["2 9000 5 250 1.5"]


@pytest.mark.parametrize(("own", "limit"), [("", 3.0), (", timeout: 2", 2.0), (", timeout: 9", 3.0)])
async def test_a_claim_ends_within_its_frames_seconds(cache: Cache, own: str, limit: float) -> None:
    stage = await claimed(claiming("{max_seconds: 3}", more=own), cache, ROWS[:1])

    assert {bool(call.config.query): call.timeout for call in stage.act.calls} == {True: limit, False: None}


async def test_a_claim_that_takes_longer_fails_the_loop(cache: Cache) -> None:
    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    stage = await played(claiming("{max_seconds: 0.01}"), cache, Act(never))

    assert stage.log.error is not None
    assert stage.log.error.kind == "timeout"


async def test_a_row_is_tried_as_often_as_the_frame_says(cache: Cache) -> None:
    claims = [ROWS[:2], []]
    tries: list[int] = []

    def work(call: Call) -> Any:
        if call.config.query:
            return {"rows": claims.pop(0)}
        tries.append(call.config.say)
        if call.config.say == 1 or tries.count(0) < 2:
            raise ToolError("not now", kind="server_error")
        return call.config.say

    stage = await played(claiming("{max_rows: 2, max_attempts: 3}"), cache, Act(work))

    assert (tries.count(0), tries.count(1)) == (2, 3)
    assert stage.log.status == "FAILED"


async def test_a_claim_is_not_tried_again_by_its_frame(cache: Cache) -> None:
    def fail(call: Call) -> Any:
        raise ToolError("not now", kind="server_error")

    act = Act(fail)
    stage = await played(claiming("{}") + "  spec: {frame: {max_attempts: 3}}\n", cache, act)

    assert len(act.calls) == 1
    assert isinstance(stage.outcome, BlockFailed)


async def test_a_bound_that_the_inputs_do_not_yield_fails_the_execution_at_its_start(cache: Cache) -> None:
    stage = await claimed(
        claiming("{max_bytes: '{{ nothing }}', process: frame}").replace("most", "nothing"), cache, ROWS
    )
    broken = await played(
        claiming("{max_bytes: '{{ nothing }}', process: frame}").replace("most: 250", "nothing: 0"), cache
    )

    assert stage.log.status == "COMPLETED"
    assert (broken.log.entered(), broken.act.calls) == ([], [])
    assert broken.log.error is not None
    assert "a number above 0 is wanted, not 0" in broken.log.error.message


def test_a_bound_is_above_0() -> None:
    with pytest.raises(InvalidPlaybook, match=r"loop.spec.frame.lease_seconds' of step 'load' is above 0"):
        plan_of(claiming("{lease_seconds: 0}"))
