"""One transaction as a value: every change by the table, and nothing else."""

from __future__ import annotations

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker import transaction as transaction_module
from noetl_stream.broker.entries import TransactionChanged, dump, load
from noetl_stream.broker.offsets import Position, TopicPartition
from noetl_stream.broker.transaction import (
    ARROWS,
    Event,
    Transaction,
    TransactionState,
    restored,
)
from noetl_stream.commitlog.refusal import Refused

_T0, _T1 = TopicPartition("t", 0), TopicPartition("t", 1)
_NEW = Transaction(transactional_id="x", producer_id=7, epoch=0, timeout_ms=1000, at=0)


def _act(transaction: Transaction, event: Event, now: int = 1) -> Transaction:
    match event:
        case "renew":
            return transaction.renewed(timeout_ms=1000, now=now, former=None)
        case "write":
            return transaction.writing([_T0], now)
        case "complete":
            return transaction.ended(now)
        case _:
            return transaction.ending(committed=event == "commit", now=now)


def _in(state: TransactionState) -> Transaction:
    """A transaction that has come to be in a state."""
    ways: dict[TransactionState, tuple[Event, ...]] = {
        TransactionState.EMPTY: (),
        TransactionState.ONGOING: ("write",),
        TransactionState.PREPARE_COMMIT: ("write", "commit"),
        TransactionState.PREPARE_ABORT: ("write", "abort"),
        TransactionState.COMPLETE_COMMIT: ("write", "commit", "complete"),
        TransactionState.COMPLETE_ABORT: ("write", "abort", "complete"),
    }
    transaction = _NEW
    for event in ways[state]:
        transaction = _act(transaction, event)
    assert transaction.state is state
    return transaction


@pytest.mark.parametrize("state", TransactionState)
@pytest.mark.parametrize("event", ["renew", "write", "commit", "abort", "complete"])
def test_what_has_an_arrow_is_done_and_all_else_is_refused(state: TransactionState, event: Event) -> None:
    before = _in(state)

    if (state, event) in ARROWS:
        assert _act(before, event).state is ARROWS[state, event]
    else:
        with pytest.raises(Refused) as refused:
            _act(before, event)
        assert refused.value.code is ErrorCode.invalid_txn_state


def test_a_transaction_gathers_what_it_will_decide_about_and_ends_with_nothing_left() -> None:
    ongoing = _NEW.writing([_T0], 10).writing([_T1], 20)
    ongoing = ongoing.committing("g", {_T0: Position(5, "")}, 30).committing("g", {_T1: Position(6, "n")}, 40)

    assert (ongoing.partitions, ongoing.began, ongoing.at) == (frozenset({_T0, _T1}), 10, 40)
    assert ongoing.offsets == {"g": {_T0: Position(5, ""), _T1: Position(6, "n")}}
    ended = ongoing.ending(committed=True, now=50).ended(60)
    assert (ended.partitions, ended.offsets, ended.began) == (frozenset(), {}, -1)


def test_positions_belong_to_an_ongoing_transaction() -> None:
    with pytest.raises(Refused) as refused:
        _NEW.committing("g", {_T0: Position(5, "")}, 1)

    assert refused.value.code is ErrorCode.invalid_txn_state


def test_another_producer_and_an_older_instance_are_told_apart() -> None:
    renewed = _act(_NEW, "renew")

    codes = []
    for producer in ((8, 1), (7, 0)):
        with pytest.raises(Refused) as refused:
            renewed.require_epoch(*producer)
        codes.append(refused.value.code)
    assert codes == [ErrorCode.invalid_producer_id_mapping, ErrorCode.producer_fenced]


@pytest.mark.parametrize("state", TransactionState)
def test_the_journal_tells_all_of_it(state: TransactionState) -> None:
    before = _in(state)
    entry = load(dump(before.entry()))
    assert isinstance(entry, TransactionChanged)

    assert restored(entry, now=99) == before


def test_an_entry_from_before_times_were_noted_counts_as_used_now() -> None:
    entry = load(
        b'{"kind":"TransactionChanged","transactional_id":"x","producer_id":7,"epoch":0,"timeout_ms":1000,'
        b'"state":"Empty","partitions":[],"offsets":[]}'
    )
    assert isinstance(entry, TransactionChanged)

    assert restored(entry, now=99).at == 99


def test_every_state_can_be_left_but_by_no_unnamed_event() -> None:
    """Nothing hangs: from wherever a crash finds a transaction, the table leads to one that is open to the next."""
    ends = {TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT}
    for state in TransactionState:
        reached, frontier = {state}, {state}
        while frontier:
            frontier = {ARROWS[at] for at in ARROWS if at[0] in frontier} - reached
            reached |= frontier
        assert reached & ends
    assert transaction_module.LAST_EPOCH < 2**15 - 1
