"""Iterations that travel together: how many, what is said of each, and what is offered again when not all ended."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.block import OFFER_TIMEOUT
from noetl_stream.core.bundles import BUNDLE
from noetl_stream.core.events import (
    BlockCancelRequested,
    BlockClaimed,
    BlockCompleted,
    BlockFailed,
    BlockId,
    BlockOffered,
    BlockParked,
    BlocksReported,
    Report,
    Retry,
    Sleep,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Ref
from tests.histories.blueprints import loop, plan, step
from tests.histories.builder import BROKEN, History, history


def looping(items: Any, bundle: int, *, limit: int = 64, parallel: bool = True, **more: Any) -> History:
    looped = loop(items, bundle=bundle, limit=limit, parallel=parallel, **more)
    return history(plan(step("each", loop=looped))).requested().settled()


def offered(log: History) -> list[tuple[int, int]]:
    """The first iteration and the count of each offer so far."""
    log.settled()
    return [(offer.block.iteration, offer.count) for offer in log.messages(Offer)]


def life(index: int, attempt: int = 0, segment: int = 0) -> dict[str, Any]:
    return {"block": BlockId("each", 0, index), "attempt": attempt, "segment": segment, "run": "run"}


def ok(log: History, index: int, **more: int) -> BlockCompleted:
    return BlockCompleted(**life(index, **more), result=index, time=log.now)


def failed(log: History, index: int, again: float | None = None) -> BlockFailed:
    retry = None if again is None else Retry(after=again)
    return BlockFailed(**life(index), error=BROKEN, retry=retry, time=log.now)


def parked(log: History, index: int) -> BlockParked:
    return BlockParked(**life(index), wait=Sleep(until=log.now + 60.0), time=log.now)


def reported(log: History, *facts: BlockClaimed | Report) -> History:
    return log.fold(BlocksReported(facts=facts))


def test_what_is_in_flight_goes_in_as_few_offers_as_bundles_allow() -> None:
    log = looping(list("abcdefghij"), 4)

    assert offered(log) == [(0, 4), (4, 4), (8, 2)]
    assert [offer.item for offer in log.messages(Offer)] == [list("abcd"), list("efgh"), list("ij")]
    assert len(log.execution.blocks) == 10


def test_the_limit_counts_iterations_whatever_they_travel_in() -> None:
    log = looping(100, 4, limit=6)

    assert offered(log) == [(0, 4), (4, 2)]
    assert [offer.item for offer in log.messages(Offer)] == [[0, 1, 2, 3], [4, 5]]


def test_a_bundle_is_not_larger_than_the_limit() -> None:
    assert offered(looping(100, 50, limit=6)) == [(0, 6)]


@pytest.mark.parametrize(("name", "most"), [("each", BUNDLE), ("e" * 2_000, 93)])
def test_a_bundle_has_no_more_iterations_than_one_record_can_claim(name: str, most: int) -> None:
    looped = loop(5_000, bundle=4_000, limit=4_000, parallel=True)

    log = history(plan(step(name, loop=looped))).requested().settled()

    assert offered(log)[0] == (0, most)


def test_a_materialised_collection_is_named_with_the_first_row() -> None:
    ref = Ref(uri="items", bytes=1, sha256="", format="arrow", rows=8)
    log = looping(ref, 4)
    begun = {"items": ref, "total": 8, "admitted": True, "limit": 64, "frames": 1}
    log.completed("each", begun, iteration=-1).settled()

    assert [(o.items, o.row, o.count, o.item) for o in log.messages(Offer)[1:]] == [
        (ref, 0, 4, None),
        (ref, 4, 4, None),
    ]


def test_slices_of_a_list_travel_together() -> None:
    log = looping(list("abcdefghij"), 2, rows=3)

    assert [offer.item for offer in log.messages(Offer)] == [[list("abc"), list("def")], [list("ghi"), ["j"]]]


def test_each_iteration_counts_by_itself_and_goes_on_alone() -> None:
    log = looping(4, 4, on_error="continue")

    reported(log, ok(log, 0), failed(log, 1, again=1.0), parked(log, 2), failed(log, 3)).later(61.0)

    assert log.verdict == "accepted"
    assert offered(log) == [(0, 4), (1, 1), (2, 1)]
    again, resumed = log.messages(Offer)[1:]
    assert ((again.attempt, again.item), (resumed.segment, resumed.item)) == ((1, 1), (1, 2))
    log.completed("each", "late", iteration=1).completed("each", "later", iteration=2).settled()
    assert [r if isinstance(r, int | str) else r["status"] for r in log.result["results"]] == [
        0,
        "late",
        "later",
        "error",
    ]


def test_what_counted_of_a_report_is_told() -> None:
    log = looping(4, 4)
    reported(log, ok(log, 1))

    reported(log, ok(log, 0), ok(log, 1), ok(log, 2, attempt=1))

    assert (log.verdict, log.last.counted) == ("accepted", (ok(log, 0),))


def test_a_report_that_comes_again_changes_nothing() -> None:
    log = looping(6, 3, limit=3)
    reported(log, ok(log, 0), ok(log, 1), ok(log, 2))
    before = state_hash(log.state)

    log.again()

    assert (log.verdict, log.last.counted, state_hash(log.state)) == ("duplicate", (), before)


def test_a_report_without_a_word_is_stale() -> None:
    log = reported(looping(2, 2))

    assert (log.verdict, log.decided()) == ("stale", ())


def test_a_few_free_places_wait_for_more_so_that_bundles_do_not_crumble() -> None:
    log = looping(100, 4, limit=4)

    reported(log, ok(log, 0)).settled()
    assert offered(log) == [(0, 4)]

    reported(log, ok(log, 1)).settled()
    assert offered(log) == [(0, 4), (4, 2)]


def test_the_last_iterations_go_though_they_fill_no_bundle() -> None:
    log = looping(5, 4, limit=4)

    reported(log, ok(log, 0)).settled()

    assert offered(log) == [(0, 4), (4, 1)]


def test_what_nobody_reports_is_offered_again_together_without_what_has_ended() -> None:
    log = looping(6, 6)
    reported(log, ok(log, 0), ok(log, 3), failed(log, 4, again=1e6)).later(OFFER_TIMEOUT + 1)

    moves = [(m.block.iteration, m.count) for m in log.decided() if isinstance(m, BlockOffered)]

    assert moves == [(1, 2), (5, 1)]


def test_a_claim_holds_all_that_it_names() -> None:
    log = looping(3, 3)
    claims = [BlockClaimed(**life(n), renew_by=log.now + 1e4, time=log.now) for n in range(3)]

    reported(log, *claims).later(OFFER_TIMEOUT + 1)
    assert log.decided() == ()

    log.later(1e4)
    assert [(m.block.iteration, m.count) for m in log.decided() if isinstance(m, BlockOffered)] == [(0, 3)]


class TestInSequence:
    """One after the other, in one bundle: nothing overtakes what has not ended well."""

    def test_a_bundle_goes_when_nothing_is_in_flight(self) -> None:
        log = looping(5, 3, limit=1, parallel=False)
        assert offered(log) == [(0, 3)]

        reported(log, ok(log, 0), ok(log, 1)).settled()
        assert offered(log) == [(0, 3)]

        reported(log, ok(log, 2)).settled()
        assert offered(log) == [(0, 3), (3, 2)]

    @pytest.mark.parametrize("wait", ["retry", "park"])
    def test_what_follows_one_that_waits_is_taken_back_and_offered_after_it(self, wait: str) -> None:
        log = looping(5, 5, limit=1, parallel=False)

        second = failed(log, 1, again=60.0) if wait == "retry" else parked(log, 1)
        reported(log, ok(log, 0), second)
        assert log.running() == ["each[1]"]

        log.later(61.0).completed("each", 1, iteration=1).settled()
        assert offered(log) == [(0, 5), (1, 1), (2, 3)]

    def test_what_follows_one_that_is_cancelled_is_offered_again(self) -> None:
        log = looping(4, 4, limit=1, parallel=False, on_error="continue")
        reported(log, ok(log, 0))

        log.fold(BlockCancelRequested(block=BlockId("each", 0, 1), attempt=0, time=log.now))

        assert offered(log) == [(0, 4), (2, 2)]

    def test_what_was_cancelled_before_its_turn_is_not_begun_when_the_others_are(self) -> None:
        log = looping(5, 5, limit=1, parallel=False, on_error="continue")
        log.fold(BlockCancelRequested(block=BlockId("each", 0, 3), attempt=0, time=log.now))

        reported(log, ok(log, 0), failed(log, 1, again=60.0)).later(61.0)
        log.completed("each", 1, iteration=1).settled()

        assert offered(log) == [(0, 5), (1, 1), (2, 1)]
        log.completed("each", 2, iteration=2).settled()
        assert offered(log)[-1] == (4, 1)

    def test_what_a_run_that_went_further_says_does_not_count_once_that_was_taken_back(self) -> None:
        log = looping(3, 3, limit=1, parallel=False)
        reported(log, failed(log, 0, again=60.0))

        reported(log, ok(log, 0), ok(log, 1), ok(log, 2))

        assert (log.last.counted, log.running()) == ((), ["each[0]"])

    def test_an_iteration_does_not_end_before_those_before_it(self) -> None:
        log = looping(3, 3, limit=1, parallel=False)

        reported(log, ok(log, 1))

        assert (log.verdict, len(log.execution.blocks)) == ("stale", 3)

    def test_a_failure_is_the_last_that_counts(self) -> None:
        log = looping(3, 3, limit=1, parallel=False)

        reported(log, ok(log, 0), failed(log, 1), ok(log, 2)).settled()

        assert (log.status, log.execution.finished["each"].iterations) == ("FAILED", 3)
        assert log.last.machine is not None
        assert log.execution.blocks == {}

    def test_a_failure_that_is_put_up_with_is_followed_by_the_others(self) -> None:
        log = looping(3, 3, limit=1, parallel=False, on_error="continue")

        reported(log, ok(log, 0), failed(log, 1), ok(log, 2)).settled()

        assert log.result["stats"] == {"total": 3, "success": 2, "failed": 1}


def test_a_long_loop_is_decided_in_few_moves() -> None:
    log = looping(20_000, 1_000, limit=4_000)
    while log.status == "running":
        first = next(iter(log.execution.blocks)).iteration
        reported(log, *(ok(log, n) for n in range(first, first + 1_000))).settled()

    assert log.result.parts["stats.success"] == 20_000
    assert sum(isinstance(move, BlockOffered) for move in log.happened) == 20
