"""What is forgotten when nobody has used it for long, and what is not. Time is told to the broker here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.entries import GroupChanged, GroupDeleted, OffsetsCommitted, OffsetsForgotten
from noetl_stream.broker.group import GroupState
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.journal import Journal, read_journal
from noetl_stream.broker.member import Joined
from noetl_stream.broker.offset_expiry import expired
from noetl_stream.broker.offsets import Offsets, Position, TopicPartition
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.subscription import subscribed_topics
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.commitlog.refusal import Refused
from tests.broker.samples import JOIN

_A, _B = TopicPartition("a", 0), TopicPartition("b", 0)
_POSITIONS = {_A: Position(1, "", at=100), _B: Position(2, "", at=200)}
_WANTS_A = b"\0\1\0\0\0\1\0\1a"


def _empty_since(at: int) -> GroupChanged:
    return GroupChanged(group="g", protocol_type="consumer", empty_since=at)


_IN_USE = _empty_since(-1)


@pytest.mark.parametrize(
    ("known", "subscribed", "before", "gone"),
    [
        pytest.param(None, frozenset(), 150, [_A], id="committed-from-outside-counts-from-the-commit"),
        pytest.param(_empty_since(300), frozenset(), 300, [], id="an-empty-group-counts-from-its-end"),
        pytest.param(_empty_since(300), frozenset(), 301, [_A, _B], id="and-is-past-its-time-then"),
        pytest.param(_empty_since(150), frozenset(), 180, [_A], id="a-later-commit-counts-from-itself"),
        pytest.param(_IN_USE, None, 999, [], id="unknown-subscriptions-keep-all"),
        pytest.param(_IN_USE, frozenset({"a"}), 999, [_B], id="members-keep-what-they-read"),
        pytest.param(_IN_USE, frozenset({"a"}), 200, [], id="and-the-rest-for-its-time"),
    ],
)
def test_a_position_is_kept_for_its_time(
    known: GroupChanged | None, subscribed: frozenset[str] | None, before: int, gone: list[TopicPartition]
) -> None:
    assert expired(_POSITIONS, known, subscribed, before) == gone


@pytest.mark.parametrize(
    ("metadata", "topics"),
    [
        (_WANTS_A, {"a"}),
        (b"\0\3\0\0\0\2\0\1a\0\2\xc3\xbc" + b"rest", {"a", "ü"}),
        (b"\0\0\0\0\0\0", set()),
        (b"", None),
        (b"\0\0\0\0\0\2\0\1a", None),
        (b"\0\0\0\0\0\1\0\1\xff", None),
    ],
)
def test_subscriptions_are_read_from_what_members_say(metadata: bytes, topics: set[str] | None) -> None:
    assert subscribed_topics(metadata) == topics


@dataclass(slots=True)
class _Coordinator:
    """Groups on their journal, at a time that a test sets."""

    path: Path
    at: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Groups, Offsets]]:
        commit = GroupCommit("none", lambda error: None)
        offsets = Offsets(now=lambda: self.at)
        for entry in read_journal(self.path):
            assert isinstance(entry, OffsetsCommitted | OffsetsForgotten | GroupChanged | GroupDeleted)
            offsets.apply(entry)
        journal = Journal(self.path, commit, rewrite_above=1 << 20)
        offsets.record_changes_in(journal)
        offsets.close_sessions()
        groups = Groups(BrokerSettings(), offsets)
        yield groups, offsets
        groups.close()
        await commit.close()
        journal.close()


@pytest.fixture
def coordinator(tmp_path: Path) -> _Coordinator:
    return _Coordinator(tmp_path / "journal")


def _join(groups: Groups, now: float) -> None:
    """A single member joins and is given its assignment."""
    request = replace(JOIN, protocols={"range": _WANTS_A})
    group = groups.joined_by("g", request)
    with groups.changing("g", group):
        group.join(request, now, _silent)
        group.expire(now + 1)
        group.sync(group.current("m", None, group.generation, now + 1), {}, now + 1, _silent)


def _silent(outcome: Joined | bytes | Refused) -> None:
    """The member of these histories listens to nothing."""


def _leave(groups: Groups) -> None:
    group = groups.existing("g")
    with groups.changing("g", group):
        group.leave("m", None, 2.0)


def _nothing_pending(group: str, at: TopicPartition) -> bool:
    return False


async def test_an_empty_group_is_forgotten_with_its_positions(coordinator: _Coordinator) -> None:
    async with coordinator.running() as (groups, offsets):
        _join(groups, 0.0)
        await offsets.commit("g", {_A: Position(5, "")})
        coordinator.at = 1000
        _leave(groups)

        await groups.forget_unused(1000, _nothing_pending)
        assert offsets.of("g") == {_A: Position(5, "", at=0)}
        await groups.forget_unused(1001, _nothing_pending)

        assert (list(groups), groups.state("g"), offsets.of("g")) == ([], GroupState.DEAD, {})
    assert coordinator.path.read_bytes().count(b"GroupDeleted") == 1
    async with coordinator.running() as (groups, _):
        assert groups.state("g") is GroupState.DEAD


async def test_a_group_in_use_keeps_what_it_reads_and_forgets_what_it_no_longer_does(
    coordinator: _Coordinator,
) -> None:
    async with coordinator.running() as (groups, offsets):
        _join(groups, 0.0)
        await offsets.commit("g", {_A: Position(5, ""), _B: Position(6, "")})

        await groups.forget_unused(10**6, _nothing_pending)

        assert set(offsets.of("g")) == {_A}
        assert groups.state("g") is GroupState.STABLE


async def test_a_position_that_a_transaction_may_still_move_is_kept(coordinator: _Coordinator) -> None:
    async with coordinator.running() as (groups, offsets):
        await offsets.commit("g", {_A: Position(5, ""), _B: Position(6, "")})

        await groups.forget_unused(10**6, lambda group, at: at == _B)

        assert set(offsets.of("g")) == {_B}


async def test_the_time_of_an_empty_group_goes_on_over_a_restart(coordinator: _Coordinator) -> None:
    async with coordinator.running() as (groups, offsets):
        _join(groups, 0.0)
        await offsets.commit("g", {_A: Position(5, "")})
        coordinator.at = 1000
        _leave(groups)

    coordinator.at = 5000
    async with coordinator.running() as (groups, offsets):
        assert (groups.state("g"), groups.protocol_type("g")) == (GroupState.EMPTY, "consumer")
        await groups.forget_unused(1001, _nothing_pending)
        assert groups.state("g") is GroupState.DEAD


async def test_a_group_that_a_crash_emptied_counts_from_the_restart(coordinator: _Coordinator) -> None:
    """Its members may come back; it was in use until then."""
    async with coordinator.running() as (groups, offsets):
        _join(groups, 0.0)
        await offsets.commit("g", {_A: Position(5, "")})

    coordinator.at = 5000
    async with coordinator.running() as (groups, offsets):
        await groups.forget_unused(5000, _nothing_pending)
        assert offsets.of("g")
        await groups.forget_unused(5001, _nothing_pending)
        assert not offsets.of("g")


async def test_positions_of_a_time_before_times_were_noted_count_from_the_start(
    coordinator: _Coordinator,
) -> None:
    async with coordinator.running() as (_, offsets):
        await offsets.commit("g", {_A: Position(5, "")})
    coordinator.at = 5000
    async with coordinator.running() as (groups, offsets):
        offsets.apply(OffsetsCommitted(group="g", offsets=[("b", 0, 7, "")]))
        await groups.forget_unused(5000, _nothing_pending)

        assert offsets.of("g") == {_B: Position(7, "", at=5000)}


async def test_a_group_with_members_cannot_be_deleted(coordinator: _Coordinator) -> None:
    async with coordinator.running() as (groups, offsets):
        _join(groups, 0.0)
        await offsets.commit("g", {_A: Position(5, "")})

        with pytest.raises(Refused) as refused:
            await groups.delete("g")
        assert refused.value.code is ErrorCode.non_empty_group
        _leave(groups)
        await groups.delete("g")
        with pytest.raises(Refused) as refused:
            await groups.delete("g")

        assert refused.value.code is ErrorCode.group_id_not_found
        assert not offsets.of("g")


async def test_a_full_disk_keeps_no_dead_member_in_a_group(
    coordinator: _Coordinator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What only dates an expiry is noted later; who is in the group does not wait for it."""

    def full(offsets: Offsets, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    async with coordinator.running() as (groups, _):
        _join(groups, 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(Offsets, "note_members", full)
            with groups.changing("g", groups.existing("g")):
                groups.existing("g").expire(60.0)

        assert groups.state("g") is GroupState.EMPTY
        assert "that group g changed is noted at its next change" in caplog.text


async def test_a_fault_is_told_and_the_next_look_is_taken_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked_again = asyncio.Event()

    async def faulty_once(groups: Groups, *_: object) -> None:
        if caplog.records:
            looked_again.set()
            return
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Groups, "forget_unused", faulty_once)
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(expiry_interval=0.01)), asyncio.timeout(10):
        await looked_again.wait()

    (told,) = caplog.records
    assert told.exc_info
    assert "a fault of ours" in str(told.exc_info[1])
