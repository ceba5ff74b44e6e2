"""A condensed journal means what the whole one meant, in far fewer entries."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.broker.condense import condense
from noetl_stream.broker.entries import (
    Entry,
    GroupChanged,
    GroupDeleted,
    LogSynced,
    OffsetsCommitted,
    OffsetsForgotten,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
    TransactionChanged,
    TransactionForgotten,
)
from noetl_stream.broker.offsets import Offsets

_NAMES = st.sampled_from(["a", "b"])
_SMALL = st.integers(min_value=0, max_value=3)
_ABOUT_GROUPS = st.one_of(
    st.builds(
        OffsetsCommitted,
        group=_NAMES,
        offsets=st.lists(st.tuples(_NAMES, _SMALL, _SMALL, st.just("")), min_size=1, max_size=3),
        at=_SMALL,
    ),
    st.builds(OffsetsForgotten, group=_NAMES, offsets=st.lists(st.tuples(_NAMES, _SMALL), max_size=2)),
    st.builds(GroupChanged, group=_NAMES, protocol_type=st.just("consumer"), empty_since=_SMALL),
    st.builds(GroupDeleted, group=_NAMES),
    st.builds(TopicDeleted, name=_NAMES, directory=st.just("gone")),
)


def _replayed(entries: list[Entry]) -> dict[object, object]:
    offsets = Offsets()
    for entry in entries:
        match entry:
            case TopicDeleted():
                offsets.forget_topic(entry.name)
            case OffsetsCommitted() | OffsetsForgotten() | GroupChanged() | GroupDeleted():
                offsets.apply(entry)
            case _:
                assert isinstance(entry, ProducerIdsReserved)
    return {group: (dict(offsets.of(group)), offsets.known(group)) for group in offsets.groups()}


@given(entries=st.lists(_ABOUT_GROUPS, max_size=20))
def test_groups_stand_where_they_stood(entries: list[Entry]) -> None:
    assert _replayed(list(condense(entries))) == _replayed(entries)


@given(entries=st.lists(_ABOUT_GROUPS, max_size=20))
def test_condensing_again_changes_nothing(entries: list[Entry]) -> None:
    once = list(condense(entries))

    assert list(condense(once)) == once


def _transaction(epoch: int) -> TransactionChanged:
    return TransactionChanged(
        transactional_id="x",
        producer_id=1,
        epoch=epoch,
        timeout_ms=1,
        state="Empty",
        partitions=[],
        offsets=[],
    )


def test_the_last_word_about_each_thing_is_kept() -> None:
    entries: list[Entry] = [
        TopicCreated(name="t", directory="t-1", partitions=1, configs={}),
        RecordsDeleted(topic="t", partition=0, offset=3),
        TopicChanged(name="t", partitions=4, configs={"retention.ms": "1"}),
        LogSynced(topic="t", partition=0, position=100),
        RecordsDeleted(topic="t", partition=0, offset=7),
        ProducerIdsReserved(below=1000),
        _transaction(0),
        ProducerIdsReserved(below=2000),
        _transaction(1),
    ]

    assert list(condense(entries)) == [
        TopicCreated(name="t", directory="t-1", partitions=4, configs={"retention.ms": "1"}),
        RecordsDeleted(topic="t", partition=0, offset=7),
        LogSynced(topic="t", partition=0, position=100),
        ProducerIdsReserved(below=2000),
        _transaction(1),
    ]


def test_of_a_deleted_topic_only_that_is_kept() -> None:
    """Its files may still be there, and would be records that nobody knows."""
    deleted = TopicDeleted(name="t", directory="t-1")
    again = TopicCreated(name="t", directory="t-2", partitions=1, configs={})
    entries: list[Entry] = [
        TopicCreated(name="t", directory="t-1", partitions=1, configs={}),
        LogSynced(topic="t", partition=0, position=100),
        OffsetsCommitted(group="g", offsets=[("t", 0, 5, "")]),
        deleted,
        again,
    ]
    noted = replace(_transaction(1), offsets=[("g", "t", 0, 5, ""), ("g", "kept", 0, 6, "")])
    left = replace(noted, offsets=[("g", "kept", 0, 6, "")])

    assert list(condense([noted, *entries])) == [deleted, again, ProducerIdsReserved(below=0), left]


def test_a_forgotten_transactional_id_is_gone() -> None:
    entries: list[Entry] = [_transaction(0), TransactionForgotten(transactional_id="x")]

    assert list(condense(entries)) == [ProducerIdsReserved(below=0)]
