"""Loops whose length nobody knows beforehand: while a condition holds, or as long as a cursor claims rows."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.events import PROBES, BlockOffered, LoopClosed
from noetl_stream.core.messages import StoreChunk
from noetl_stream.core.plan import Loop, Plan
from noetl_stream.core.run import CHUNK
from noetl_stream.core.values import Error, NeedsPayload, Ref, Value
from noetl_stream.errors import ExpressionError
from tests.histories.blueprints import arc, expression, plan, seen, step
from tests.histories.builder import History, history

ROWS = Ref(uri="cache:rows", bytes=10**6, sha256="00", format="arrow", rows=2)


def going_on(condition: Any, **more: Any) -> Plan:
    loop = Loop(iterator="item", while_=expression(condition), **more)
    return plan(step("each", "after", arc("mend", on="error"), loop=loop), step("after"), step("mend"))


def claiming(*, frames: int = 2, rows: int = 1, **more: Any) -> Plan:
    loop = Loop(iterator="row", cursor="claim", parallel=True, limit=frames, row_concurrency=rows, **more)
    return plan(step("each", "after", arc("mend", on="error"), loop=loop), step("after"), step("mend"))


def claimed(log: History, number: int, *rows: Value) -> History:
    """The `number`-th claim brought these rows."""
    return log.completed("each", {"items": list(rows), "total": len(rows)}, iteration=PROBES - number)


class TestWhile:
    def test_it_runs_one_iteration_after_the_other_while_its_condition_holds(self) -> None:
        log = history(going_on(lambda s: s["iter"]["index"] < 2)).requested()

        assert log.running() == ["each[0]"]
        assert log.completed("each", "a").running() == ["each[1]"]
        assert log.completed("each", "b", iteration=1).running() == ["after"]
        assert log.execution.results["each"]["results"] == ["a", "b"]

    def test_a_condition_that_never_holds_makes_an_empty_loop(self) -> None:
        log = history(going_on(lambda s: False)).requested()

        assert log.running() == ["after"]
        assert log.execution.results["each"]["count"] == 0

    def test_its_condition_reads_the_last_iterations_result_and_what_iterations_wrote(self) -> None:
        def unfinished(scope: Any) -> bool:
            return scope["iter"]["index"] == 0 or not (seen(scope["result"]) == "last" or scope["ctx"]["x"])

        first = history(going_on(unfinished)).requested().completed("each", "first", writes={"ctx.x": 0})
        assert first.running() == ["each[1]"]
        assert first.completed("each", "last", iteration=1).running() == ["after"]

        written = history(going_on(unfinished)).requested().completed("each", "first", writes={"ctx.x": 1})
        assert written.running() == ["after"]

    def test_its_condition_reads_the_last_result_however_long_it_is(self) -> None:
        """A worker leaves nothing here that is large, but a failure may tell much."""

        def read(scope: Any) -> bool:
            first = scope["iter"]["index"] == 0
            return first or bool(seen(scope["result"])["error"]["message"] == "m" * 5_000)

        log = history(going_on(read, on_error="continue")).requested()
        told = Error(kind="server_error", message="m" * 5_000)

        assert log.failed("each", error=told).running() == ["each[1]"]

    def test_the_end_of_the_loop_is_a_decision_of_its_own(self) -> None:
        """Routing may take a block of its own: the condition must not be asked again after it."""
        log = history(going_on(lambda s: False)).requested()

        assert log.decided()[-1] != LoopClosed(step="each", epoch=0)
        assert LoopClosed(step="each", epoch=0) in log.settled().happened

    def test_a_condition_that_cannot_be_evaluated_fails_the_step(self) -> None:
        def broken(scope: Any) -> bool:
            raise ExpressionError("no such filter", text="x", place="here")

        assert history(going_on(broken)).requested().running() == ["mend"]

    def test_a_condition_on_a_referenced_value_is_asked_of_a_worker(self) -> None:
        def hidden(scope: Any) -> bool:
            raise NeedsPayload("rows")

        log = history(going_on(hidden)).requested()
        assert log.running() == ["each[-3]"]
        assert log.offer("each", PROBES).resume == {"index": 0, "last": None}

        assert claimed(log, 0, None).running() == ["each[0]"]
        assert log.completed("each", "a").running() == ["each[-4]"]
        assert log.offer("each", PROBES - 1).resume == {"index": 1, "last": "a"}
        assert claimed(log, 1).running() == ["after"]

    def test_a_failed_iteration_ends_it_unless_it_goes_on(self) -> None:
        stops = history(going_on(lambda s: s["iter"]["index"] < 2)).requested().failed("each")
        goes_on = history(going_on(lambda s: s["iter"]["index"] < 2, on_error="continue")).requested()

        assert stops.running() == ["mend"]
        assert goes_on.failed("each").running() == ["each[1]"]


class TestCursor:
    def test_it_claims_up_to_its_frames_in_flight(self) -> None:
        assert history(claiming(frames=2)).requested().running() == ["each[-3]", "each[-4]"]

    def test_the_rows_of_a_claim_run_as_iterations_and_then_it_claims_again(self) -> None:
        log = claimed(history(claiming(frames=1, rows=2)).requested(), 0, {"id": 7}, {"id": 8})

        assert log.running() == ["each[0]", "each[1]"]
        assert [log.offer("each", i).item for i in (0, 1)] == [{"id": 7}, {"id": 8}]
        assert log.completed("each", "a").running() == ["each[1]"]
        assert log.completed("each", "b", iteration=1).running() == ["each[-4]"]

    def test_rows_of_one_frame_run_one_after_the_other_unless_told_otherwise(self) -> None:
        assert claimed(history(claiming(frames=1)).requested(), 0, 1, 2).running() == ["each[0]"]

    def test_a_claim_without_rows_ends_it_once_the_others_are_through(self) -> None:
        log = claimed(history(claiming(frames=2)).requested(), 0)
        assert log.running() == ["each[-4]"]

        claimed(log, 1, "row")
        assert log.running() == ["each[0]"]
        assert log.completed("each", "done").running() == ["after"]
        assert log.execution.results["each"]["results"] == ["done"]

    def test_large_frames_are_cut_from_their_reference(self) -> None:
        log = claimed(history(claiming(frames=1)).requested(), 0, "first")
        log.completed("each", "a")
        log.completed("each", {"items": ROWS, "total": 2}, iteration=PROBES - 1)

        offer = log.offer("each", 1)
        assert (offer.items, offer.row) == (ROWS, 0)
        log.completed("each", "b", iteration=1)
        assert log.offer("each", 2).row == 1

    def test_a_failed_claim_fails_the_step_after_those_in_flight(self) -> None:
        log = claimed(history(claiming(frames=2)).requested(), 0, "row")
        log.failed("each", iteration=PROBES - 1)

        assert log.running() == ["each[0]"]
        assert log.completed("each", "a").running() == ["mend"]

    def test_a_long_one_leaves_its_chunks_in_the_cache_and_its_state_small(self) -> None:
        log, size = history(claiming(frames=1, rows=CHUNK)).requested(), CHUNK // 2
        for frame in range(3):
            claimed(log, frame, *range(size))
            log.running()
            for row in range(size):
                log.completed("each", row, iteration=frame * size + row)
        assert log.execution.runs["each"].results.keys() == set(range(CHUNK, CHUNK + size))

        claimed(log, 3)
        assert log.running() == ["after"]
        found = log.execution.results["each"]
        assert (found.format, found.rows) == ("chunks", CHUNK + size)
        assert [len(chunk.results) for chunk in log.messages(StoreChunk)] == [CHUNK, size]


@pytest.mark.parametrize("blueprint", [going_on(lambda s: s["iter"]["index"] < 3), claiming()])
def test_no_iteration_is_offered_twice(blueprint: Plan) -> None:
    log = history(blueprint).requested()
    for _ in range(3):
        log.running()
    offered = [move.block for move in log.happened if isinstance(move, BlockOffered)]

    assert len(offered) == len(set(offered))
