"""A block that waits for somebody outside: whoever holds its token answers it, once, and nobody else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noetl_stream.core.events import BlockId, BlockOffered
from noetl_stream.core.messages import StopBlocks
from noetl_stream.core.tokens import issue, read
from noetl_stream.errors import InvalidRequest
from tests.histories.blueprints import chain, loop, plan, step
from tests.histories.builder import EXECUTION, START, History, history

ASK = BlockId("ask", 0, 0)
HEARD = {"status": "ANSWERED", "answer": {"ok": True}, "actor": "ann", "time": START}


def asking(within: float | None = None) -> History:
    return history(chain("ask", "after")).requested().asked("ask", within=within)


def answered(log: History) -> History:
    return log.answered({"ok": True}, log.token("ask"), actor="ann")


def test_a_block_that_asks_waits_without_a_timer_and_goes_on_with_its_answer() -> None:
    log = asking().settled()
    assert (log.decided(), log.execution.next_due()) == ((), None)

    assert answered(log).decided() == (BlockOffered(block=ASK, attempt=0, segment=1),)

    offer = log.offer("ask")
    assert (offer.segment, offer.answered, offer.answer) == (1, True, HEARD)


@pytest.mark.parametrize("status", ["offered", "claimed", "contested"])
def test_an_answer_that_comes_before_the_park_is_kept_and_wakes_it(status: str) -> None:
    log = history(chain("ask", "after")).requested()
    log = log if status == "offered" else getattr(log, status)("ask")

    assert answered(log).verdict == "accepted"
    assert log.asked("ask").decided() == (BlockOffered(block=ASK, attempt=0, segment=1),)
    assert log.offer("ask").answer == HEARD


def test_an_early_answer_is_for_the_park_of_its_own_segment_only() -> None:
    """The run slept instead, and asked as its next segment: that has a token of its own."""
    log = answered(history(chain("ask")).requested()).slept("ask", 1.0).later(1.0).asked("ask")

    assert log.decided() == ()
    assert log.running() == ["ask"]


def test_an_early_answer_does_not_outlive_its_attempt() -> None:
    log = answered(history(chain("ask")).requested()).failed("ask", retry=0.0).asked("ask")

    assert log.decided() == ()


def test_an_early_answer_to_a_run_that_asks_nothing_changes_nothing() -> None:
    log = answered(history(chain("ask", "after")).requested()).completed("ask", 1).completed("after", 2)

    assert (log.settled().status, log.result) == ("COMPLETED", 2)


@pytest.mark.parametrize("early", [True, False])
def test_the_first_answer_counts_and_all_further_ones_are_duplicates(early: bool) -> None:
    log = history(chain("ask")).requested() if early else asking().settled()
    token = log.token("ask")

    log.answered(1, token)
    assert log.answered(2, token).verdict == "duplicate"
    if early:
        log.asked("ask")
    assert log.answered(3, token).verdict == "duplicate"
    assert log.offer("ask").answer["answer"] == 1
    assert log.answered(4, token).verdict == "duplicate"
    assert log.completed("ask").answered(5, token).verdict == "duplicate"


def test_past_its_deadline_a_block_goes_on_without_an_answer_and_one_that_comes_later_is_not_heard() -> None:
    log = asking(within=10.0).settled()
    token = log.token("ask")
    assert log.later(9.0).decided() == ()

    offer = log.later(1.0).offer("ask")

    assert (offer.answer, offer.answered) == ({"status": "TIMED_OUT"}, True)
    assert log.answered(1, token).verdict == "duplicate"
    assert log.offer("ask").answer == {"status": "TIMED_OUT"}


def test_an_answer_that_the_log_has_before_the_end_of_patience_counts() -> None:
    """Its owner had decided to go on without; the fold goes on with it."""
    log = asking(within=10.0).settled().later(10.0)
    token = issue("seed", EXECUTION, ASK, 0, 0)
    gone_on = log.decision(log.decided())

    log.answered(1, token).fold(gone_on)

    assert log.offer("ask").answer["status"] == "ANSWERED"


@pytest.mark.parametrize(
    "forged",
    [
        {"seal": "00" * 16},
        {"seal": ""},
        {"seal": issue("guess", EXECUTION, ASK, 0, 0).seal},
        {"seal": issue("seed", EXECUTION + 1, ASK, 0, 0).seal},
        {"seal": issue("seed", EXECUTION, ASK, 0, 1).seal},
        {"seal": issue("seed", EXECUTION, ASK, 1, 0).seal},
        {"seal": issue("seed", EXECUTION, ASK._replace(step="after"), 0, 0).seal},
        {"segment": 1},
        {"attempt": 1},
        {"block": ASK._replace(iteration=1)},
    ],
    ids=str,
)
def test_who_does_not_hold_the_token_is_rejected_and_the_block_waits_on(forged: dict[str, object]) -> None:
    log = asking().settled()

    log.answered("a lie", log.token("ask"), **forged)

    assert (log.verdict, log.decided()) == ("rejected", ())


def test_the_token_of_an_iteration_answers_that_iteration_alone() -> None:
    log = history(plan(step("ask", loop=loop(2, limit=2, parallel=True)))).requested()
    log.asked("ask", iteration=0).asked("ask", iteration=1)

    log.answered("one", log.token("ask", iteration=1))

    assert log.decided() == (BlockOffered(block=ASK._replace(iteration=1), attempt=0, segment=1),)


def test_a_block_that_asks_again_has_another_token() -> None:
    log = asking(within=1.0).settled()
    first = log.token("ask")
    log.later(1.0).asked("ask")

    assert log.token("ask") != first
    assert log.answered(1, first).verdict == "duplicate"
    assert log.answered(2, log.token("ask")).offer("ask").answer["answer"] == 2


def test_a_block_that_is_run_again_has_another_token() -> None:
    log = asking().settled()
    first = log.token("ask")

    log.rerun("ask").settled()

    assert log.answered(1, first).verdict == "duplicate"
    assert log.asked("ask").decided() == ()


def test_an_execution_that_is_cancelled_waits_for_no_answer_and_tells_workers_so() -> None:
    log = asking().cancelled().settled()

    assert (log.status, log.messages(StopBlocks)) == ("CANCELLED", [StopBlocks(execution=EXECUTION)])
    assert log.answered(1, issue("seed", EXECUTION, ASK, 0, 0)).verdict == "stale"


@pytest.mark.parametrize("first", ["answered", "taken back"])
def test_an_answer_to_what_a_bundle_took_back_is_kept_until_it_runs_again(first: str) -> None:
    """A run that counts no more had got as far as asking, with the token that the next run has too."""
    log = history(plan(step("ask", loop=replace(loop(2), bundle=2)))).requested().settled()
    token = log.token("ask", iteration=1)
    if first == "answered":
        log.answered("one", token).failed("ask", retry=9.0, iteration=0)
    else:
        log.failed("ask", retry=9.0, iteration=0).answered("one", token)

    assert log.verdict == "accepted"
    assert first == "answered" or log.answered("two", token).verdict == "duplicate"
    log.later(9.0).completed("ask", iteration=0).asked("ask", iteration=1)
    assert log.offer("ask", iteration=1).answer["answer"] == "one"


def test_a_token_is_read_as_it_was_written() -> None:
    token = issue("seed", 7, BlockId("a/b step \u00e9", 3, -1), 2, 5)

    assert read(token.text) == token
    assert read(f"  {token.text}\n") == token
    assert set(token.text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@pytest.mark.parametrize("text", ["", "x", "no token", "\u00e9", issue("seed", 7, ASK, 0, 0).text[:-9]])
def test_what_is_no_token_says_so(text: str) -> None:
    with pytest.raises(InvalidRequest, match="this is no callback token"):
        read(text)


def test_a_token_that_was_changed_is_not_genuine() -> None:
    log = asking().settled()
    changed = replace(log.token("ask"), seal=log.token("ask").seal[::-1])

    assert log.answered(1, read(changed.text)).verdict == "rejected"
