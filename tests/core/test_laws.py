"""What holds for every history, told or wandered: the fold's laws, the decisions' laws, and the promises of the whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noetl_stream.core.decide import MOVES_PER_DECISION, decide
from noetl_stream.core.events import (
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFailed,
    BlockId,
    BlockParked,
    Callback,
    CallbackReceived,
    CancelRequested,
    Child,
    ChildEnded,
    Decision,
    Event,
    ExecutionEnded,
    PartitionTaken,
    Retry,
    Sleep,
    StepFinished,
)
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.snapshot import dump, load, state_hash
from noetl_stream.core.tokens import issue
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import IllegalTransition
from tests.histories.builder import EXECUTION, START, History, Logged, refolded
from tests.histories.lives import LIVES
from tests.histories.wandering import finish, histories

WALKS = settings(max_examples=200, deadline=None)


def check_any_prefix_then_the_rest_is_the_whole(log: list[Logged], cut: int) -> None:
    """Through a checkpoint at the cut, too."""
    state: Partition = load(dump(refolded(log[:cut])))
    for offset, record in enumerate(log[cut:], start=cut):
        evolve(state, record.machine, record.event, offset)

    assert state_hash(state) == state_hash(refolded(log))


def check_a_record_that_comes_again_changes_nothing(log: list[Logged], first: int, again: int) -> None:
    """Of records that counted once; an outcome before its offer is a lie that may become true."""
    record = log[first]
    if evolve(refolded(log[:first]), record.machine, record.event, first).verdict != "accepted":
        return
    state = refolded(log[:again])
    before = state_hash(state)

    verdict = evolve(state, record.machine, record.event, again).verdict

    assert verdict in ("duplicate", "stale")
    assert state_hash(state) == before


def check_decide_is_pure_and_says_all_at_once(log: History, upto: int) -> None:
    state = refolded(log.log[:upto])
    machine = state.machines.get(EXECUTION)
    if machine is None:
        return
    before = state_hash(machine)

    moves = decide(log.plan, machine, log.now)

    assert state_hash(machine) == before
    assert decide(log.plan, machine, log.now) == moves
    if moves and len(moves) < MOVES_PER_DECISION:
        decision = Decision(fence=state.fence, after=upto - 1, at=log.now, moves=moves)
        folded = evolve(state, EXECUTION, decision, upto)
        assert folded.verdict == "accepted"
        assert folded.machine is not None
        assert decide(log.plan, folded.machine, log.now) == ()


@pytest.mark.parametrize("life", LIVES)
def test_any_prefix_then_the_rest_is_the_whole(life: str) -> None:
    log = LIVES[life]().log

    for cut in range(0, len(log) + 1, 1 + len(log) // 15):
        check_any_prefix_then_the_rest_is_the_whole(log, cut)


@pytest.mark.parametrize("life", [name for name in LIVES if name != "looping_long"])
def test_a_record_that_comes_again_changes_nothing(life: str) -> None:
    log = LIVES[life]().log

    for first in (n for n, record in enumerate(log) if not isinstance(record.event, PartitionTaken)):
        for again in range(first + 1, len(log) + 1):
            check_a_record_that_comes_again_changes_nothing(log, first, again)


@pytest.mark.parametrize("life", LIVES)
def test_decide_is_pure_and_says_all_at_once(life: str) -> None:
    log = LIVES[life]()

    for upto in range(1, len(log.log) + 1, 1 + len(log.log) // 15):
        check_decide_is_pure_and_says_all_at_once(log, upto)


@WALKS
@given(log=histories(), choice=st.integers(0, 10**6))
def test_any_walk_obeys_the_laws_of_the_fold(log: History, choice: int) -> None:
    check_any_prefix_then_the_rest_is_the_whole(log.log, choice % (len(log.log) + 1))
    first = 1 + choice % (len(log.log) - 1)
    again = first + 1 + (choice // 7) % (len(log.log) - first)
    check_a_record_that_comes_again_changes_nothing(log.log, first, again)


@WALKS
@given(log=histories(), choice=st.integers(0, 10**6))
def test_any_walk_obeys_the_laws_of_decisions(log: History, choice: int) -> None:
    check_decide_is_pure_and_says_all_at_once(log, 1 + choice % len(log.log))


@WALKS
@given(log=histories())
def test_in_any_walk_a_block_is_completed_once_and_an_execution_ends_once(log: History) -> None:
    state, completed, ends = Partition(), Counter[BlockId](), 0
    for offset, record in enumerate(finish(log).log):
        folded = evolve(state, record.machine, record.event, offset)
        if folded.verdict == "accepted" and isinstance(record.event, BlockCompleted):
            completed[record.event.block] += 1
        ends += sum(isinstance(move, ExecutionEnded) for move in folded.moves)

    assert max(completed.values(), default=1) == 1
    assert ends == 1


@WALKS
@given(log=histories())
def test_from_any_walk_the_execution_can_reach_its_end(log: History) -> None:
    """Nothing enabled is without an offer, a timer or a wait: whoever answers these brings it to its end."""
    assert finish(log).execution.over


@WALKS
@given(log=histories())
def test_on_any_walk_no_timer_rings_late(log: History) -> None:
    state = Partition()
    for offset, record in enumerate(log.log):
        evolve(state, record.machine, record.event, offset)
        machine = state.machines.get(EXECUTION)
        due = None if machine is None else machine.next_due()
        if machine is not None and due is not None:
            assert machine.alarm is not None
            assert machine.alarm <= due


MOMENTS = st.sampled_from([START, START + 1.0, 0.0, -1.0, float("inf"), float("nan")])
BLOCKS = st.builds(
    BlockId, st.sampled_from(["s0", "s1", "each", "work", "?"]), st.integers(0, 1), st.integers(-3, 2)
)
VALUES: st.SearchStrategy[Value] = st.sampled_from(
    [None, 1, "x", [1], {"items": [1], "total": 1}, {"targets": [], "writes": {}, "error": None}]
)
WRITES = st.sampled_from([{}, {"ctx.a": 1}, {"step.a": 1, "b": 2}])
ERRORS = st.builds(Error, kind=st.just("sql"), message=st.just("m"))
WAITS = st.one_of(
    st.builds(Sleep, until=MOMENTS),
    st.builds(Callback, until=st.none() | MOMENTS),
    st.builds(
        Child, path=st.just("p"), version=st.none(), input=VALUES, identity=st.just("i"), wait=st.booleans()
    ),
)
LIFE = {"block": BLOCKS, "attempt": st.integers(0, 1), "segment": st.integers(0, 1), "time": MOMENTS}


def _answer(block: BlockId, attempt: int, segment: int, time: float) -> CallbackReceived:
    seal = issue("seed", EXECUTION, block, attempt, segment).seal
    return CallbackReceived(block=block, attempt=attempt, segment=segment, seal=seal, time=time)


RUN = LIFE | {"run": st.just("r")}
FACTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(BlockClaimed, **RUN, renew_by=MOMENTS),
    st.builds(BlockContested, **RUN, task=st.just("pay"), effect=st.just("5eed"), deadline=MOMENTS),
    st.builds(BlockCompleted, **RUN, result=VALUES, writes=WRITES),
    st.builds(
        BlockFailed,
        **RUN,
        error=ERRORS,
        writes=WRITES,
        retry=st.none() | st.builds(Retry, after=st.floats(0, 9)),
    ),
    st.builds(BlockParked, **RUN, wait=WAITS, writes=WRITES),
    st.builds(ChildEnded, **LIFE, child=st.just(9), status=st.sampled_from(["COMPLETED", "STARTED"])),
    st.builds(_answer, BLOCKS, st.integers(0, 1), st.integers(0, 1), MOMENTS),
    st.builds(CancelRequested, time=MOMENTS),
)


@settings(max_examples=300, deadline=None)
@given(log=histories(8), facts=st.lists(FACTS, max_size=12))
def test_the_fold_gives_any_fact_a_verdict_and_decisions_still_follow(
    log: History, facts: list[Event]
) -> None:
    for fact in facts:
        log.fold(fact)
        assert log.verdict in ("accepted", "duplicate", "stale", "rejected")
        log.settled()
    assert state_hash(load(dump(log.state))) == state_hash(log.state)


@settings(WALKS, max_examples=60)
@given(ours=histories(), theirs=histories())
def test_a_decision_that_belongs_elsewhere_falls_or_is_refused_and_changes_nothing(
    ours: History, theirs: History
) -> None:
    for record in theirs.log:
        if not isinstance(record.event, Decision):
            continue
        before = dump(ours.state.machines)
        stranger = replace(record.event, fence=ours.state.fence, after=ours.after)
        try:
            accepted = evolve(ours.state, record.machine, stranger, len(ours.log)).verdict == "accepted"
        except IllegalTransition:
            accepted = False
        if accepted:
            return
        assert dump(ours.state.machines) == before


@WALKS
@given(log=histories())
def test_every_step_that_was_entered_and_finished_was_so_in_turn(log: History) -> None:
    epochs: dict[str, int] = {}
    for record in log.log:
        for move in record.event.moves if isinstance(record.event, Decision) else ():
            if isinstance(move, StepFinished):
                assert move.epoch == epochs.get(move.step, -1) + 1
                epochs[move.step] = move.epoch
