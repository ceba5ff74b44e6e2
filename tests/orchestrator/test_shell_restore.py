"""Gaining and losing a partition: whoever takes it goes on exactly where the log stands."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockClaimed, BlockId, PartitionTaken, RecordRejected
from noetl_stream.errors import InfrastructureError, UnknownSchema
from noetl_stream.orchestrator import checkpointing
from noetl_stream.wire import codec
from noetl_stream.wire.records import PartitionMarker
from tests.orchestrator.seat import EVENTS, House
from tests.worker.stage import plan_of

CHAIN = (
    "- {step: one, tool: {kind: noop}, next: two}\n"
    "- {step: two, tool: {kind: noop}, next: three}\n"
    "- {step: three, tool: {kind: noop}}\n"
)


@pytest.fixture
def house(tmp_path: object) -> House:
    return House(plan_of(CHAIN), LocalCache(tmp_path))  # type: ignore[arg-type]


async def run_through(house: House, execution: int, *steps: str) -> None:
    await house.settled()
    for step in steps:
        house.complete(execution, step)
        await house.settled()


async def test_an_execution_is_decided_from_its_request_to_its_end(house: House) -> None:
    await house.taken()
    execution = house.request()
    await house.settled()
    assert [offer.block.step for offer in house.offers] == ["one"]

    await run_through(house, execution, "one", "two", "three")

    assert [end.status for end in house.endings()] == ["COMPLETED"]
    assert house.held() == house.folded()
    assert house.committed == len(house.events)


async def test_a_restore_from_nothing_tells_the_same_state(house: House) -> None:
    await house.taken()
    for key in "abc":
        await run_through(house, house.request(key), "one")

    await house.killed()

    assert house.held() == house.folded()
    assert house.fences == ["me", "another"]


async def test_a_restore_from_checkpoints_and_the_tail_tells_the_same_state(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 4)
    await house.taken()
    executions = [house.request(key) for key in "abcdef"]
    for execution in executions[:3]:
        await run_through(house, execution, "one", "two")
    await run_through(house, executions[0], "three")
    folded_to = house.shelf.markers[-1].folded_to
    await run_through(house, executions[4], "one")

    await house.killed()

    assert 0 < folded_to < len(house.log.records(EVENTS)) - 2
    assert house.held() == house.folded()
    for execution in executions[1:]:
        await run_through(house, execution, "one", "two", "three")
    assert [end.status for end in house.endings()] == ["COMPLETED"] * 6


async def test_what_was_not_sent_before_a_crash_is_sent_after_it(house: House) -> None:
    """The decision stands in the log, its offer does not: the committed offset stayed before it."""
    await house.taken()
    house.log.fates.extend(["lands", "lands"])
    house.log.fates.extend(["is lost"] * 500)
    house.request()
    await house.settled()
    assert house.offers == []
    house.log.fates.clear()

    await house.killed()

    assert [offer.block.step for offer in house.offers] == ["one"]


async def test_what_was_sent_is_not_sent_again_by_the_next_owner(house: House) -> None:
    await house.taken()
    house.request()
    await house.settled()

    await house.killed()

    assert len(house.offers) == 1


async def test_a_rebalance_keeps_what_was_kept_and_leaves_what_was_lost(house: House) -> None:
    await house.taken()
    await house.shell.keep_only([0])
    assert house.fences == ["me"]

    await house.shell.keep_only([])
    execution = house.request()
    await house.settled()

    assert house.decisions == []
    await house.shell.keep_only([0])
    await house.settled()
    assert house.offers[0].execution == execution
    assert house.fences == ["me", "me"]


async def test_who_slept_while_another_held_its_partition_restores_it_though_it_was_never_told(
    house: House,
) -> None:
    """The group gives it back, and delivers from behind everything that the other one folded and committed."""
    sleepy = house.shell
    await house.taken()
    execution = house.request()
    await run_through(house, execution, "one")
    house.shell = house.new_shell("another")
    await house.taken()
    await run_through(house, execution, "two")

    house.shell = sleepy
    await house.taken()
    assert house.fences == ["me", "another", "me"]

    await run_through(house, execution, "three")
    assert [end.status for end in house.endings()] == ["COMPLETED"]
    assert house.held() == house.folded()


async def test_a_record_that_was_never_delivered_is_read_from_the_log(house: House) -> None:
    """No state may rest on a fold with a gap in it."""
    await house.taken()
    execution = house.request()
    await house.settled()
    house.complete(execution, "one")
    house.read_to += 1
    house.write(PartitionTaken(owner="me", time=house.log.now))
    await house.settled()

    assert house.held() == house.folded()
    assert [offer.block.step for offer in house.offers] == ["one", "two"]


async def test_a_newer_fence_is_answered_with_another_if_the_group_says_so(house: House) -> None:
    await house.taken()
    house.write(PartitionTaken(owner="a ghost", time=house.log.now))
    house.request()
    await house.settled()

    assert house.fences == ["me", "a ghost", "me"]
    assert [offer.block.step for offer in house.offers] == ["one"]


async def test_who_is_superseded_and_has_lost_the_partition_stops(house: House) -> None:
    await house.taken()
    house.mine = False
    house.write(PartitionTaken(owner="its new owner", time=house.log.now))
    house.request()
    await house.settled()

    assert house.fences == ["me", "its new owner"]
    assert house.decisions == []
    assert house.shell.open_executions == 0


async def test_taking_a_partition_back_is_tried_until_it_succeeds(house: House) -> None:
    await house.taken()
    house.write(PartitionTaken(owner="a ghost", time=house.log.now))
    house.request()
    house.log.fates.extend(["is refused", "is lost"])
    await house.settled()

    assert house.fences == ["me", "a ghost", "me"]
    assert len(house.offers) == 1


async def test_a_partition_lost_while_it_is_restored_is_not_kept(house: House) -> None:
    house.request()
    house.log.held = True
    taking = asyncio.ensure_future(house.shell.keep_only([0]))
    await asyncio.sleep(0)
    house.mine = False
    house.log.release()
    await taking
    await house.settled()

    assert house.decisions == []
    assert house.shell.open_executions == 0


async def test_one_partition_that_cannot_be_restored_leaves_none_half_taken(house: House) -> None:
    """The agent asks again for whatever is missing: a restore that went on behind its back would fence it."""
    house.log.fates.extend(["is refused", "lands"])
    with pytest.raises(ExceptionGroup) as failed:
        await house.shell.keep_only([0, 1])
    assert failed.group_contains(InfrastructureError)

    await house.shell.keep_only([0, 1])
    await house.settled()

    assert house.fences == ["me"]


async def test_a_playbook_that_is_gone_costs_its_executions_and_not_the_restore(house: House) -> None:
    gone = plan_of(CHAIN.replace("three", "four"))
    house.plans.plans.append(gone)
    await house.taken()
    house.request("lost", gone)
    kept = house.request("kept")
    await house.settled()
    house.plans.plans.remove(gone)

    await house.killed()
    await run_through(house, kept, "one", "two", "three")

    assert [end.status for end in house.endings()] == ["FAILED", "COMPLETED"]
    error = house.endings()[0].error
    assert error is not None
    assert error.kind == "quarantined"
    assert "was never read from the catalog" in error.message


async def test_a_record_that_an_earlier_owner_could_not_reject_any_more_is_rejected_by_the_next(
    house: House,
) -> None:
    await house.taken()
    house.shell.drop([0])
    house.write_bytes(b"no record of ours")

    await house.killed()
    await house.killed()

    assert [offset for offset, _ in house.dead] == [1]
    assert [e.offset for e in house.events if isinstance(e, RecordRejected)] == [1]


async def test_a_schema_registered_after_the_process_began_is_learned_by_a_restore(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the next release reported to the partition's old owner, and this one takes it over."""
    await house.taken()
    execution = house.request()
    await house.settled()
    foreign = Foreign(house)
    monkeypatch.setattr("noetl_stream.orchestrator.restore.decode_event", foreign.decode)
    house.teacher = foreign.learn
    house.shell.drop([0])
    house.complete(execution, "one")
    foreign.offset = len(house.log.records(EVENTS)) - 1

    await house.killed()

    assert [offer.block.step for offer in house.offers] == ["one", "two"]
    assert house.dead == []


async def test_a_record_that_was_rejected_counts_for_nobody_who_can_read_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.taken()
    execution = house.request()
    await house.settled()
    foreign = Foreign(house).installed(monkeypatch)
    house.complete(execution, "one")
    foreign.offset = len(house.log.records(EVENTS)) - 1
    await house.settled()
    assert [e.offset for e in house.events if isinstance(e, RecordRejected)] == [foreign.offset]

    foreign.known = True
    await house.killed()

    assert [offer.block.step for offer in house.offers] == ["one"]
    assert house.held() == house.folded()
    await run_through(house, execution, "one", "two", "three")
    assert [end.status for end in house.endings()] == ["COMPLETED"]


async def test_a_record_that_was_checkpointed_and_then_rejected_is_folded_out_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who can neither read it nor load the checkpoint had the partition in between."""
    monkeypatch.setattr(checkpointing, "RECORDS", 1)
    await house.taken()
    execution = house.request()
    await house.settled()
    foreign, offset = Foreign(house).installed(monkeypatch), len(house.log.records(EVENTS))
    foreign.known = True
    claim = {"attempt": 0, "segment": 0, "run": "r", "renew_by": house.log.now + 900, "time": house.log.now}
    house.write(BlockClaimed(block=BlockId("one", 0, 0), **claim), execution)  # type: ignore[arg-type]
    await house.settled()
    assert house.shelf.markers[-1].folded_to == offset

    foreign.known, foreign.offset = False, offset
    with monkeypatch.context() as older:
        older.setattr("noetl_stream.orchestrator.saved.shape", lambda: "older")
        older.setattr(checkpointing, "RECORDS", 1_000)
        await house.killed()
    assert [at for at, _ in house.dead] == [offset]

    foreign.known = True
    await house.killed()

    assert house.held() == house.folded()
    (block,) = house.shell._seats[0].owner.state.machines[execution].blocks.values()
    assert block.status == "offered"


async def test_a_checkpoint_of_another_shape_is_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its missing fields would take their defaults: an execution with a step done twice, a partition that knows no end."""
    monkeypatch.setattr(checkpointing, "RECORDS", 4)
    await house.taken()
    await run_through(house, house.request("a"), "one", "two", "three")
    await run_through(house, house.request("b"), "one")
    assert house.shelf.markers
    for key, kept in house.shelf.kept.items():
        state = {"@": "Partition", "of": {}} if isinstance(kept, PartitionMarker) else {"@": "Run", "of": {}}
        house.shelf.kept[key] = replace(kept, shape="of a release before", body=json.dumps(state).encode())

    await house.killed()

    assert house.held() == house.folded()


async def test_a_marker_without_its_checkpoints_is_no_beginning(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 4)
    await house.taken()
    await run_through(house, house.request(), "one")
    (marker,) = (kept for kept in house.shelf.kept.values() if isinstance(kept, PartitionMarker))
    house.shelf.kept = {(0, 0, 0): marker}

    await house.killed()

    assert house.held() == house.folded()


async def test_checkpoints_of_former_owners_are_forgotten_once_the_newest_has_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 4)
    await house.taken()
    executions = [house.request(key) for key in "ab"]
    for execution in executions:
        await run_through(house, execution, "one")
    former = {fence for _, _, fence in house.shelf.kept}

    await house.killed()
    assert {fence for _, _, fence in house.shelf.kept} == former
    for execution in executions:
        await run_through(house, execution, "two")

    (fence,) = {fence for _, _, fence in house.shelf.kept}
    assert fence > max(former)
    assert {machine for _, machine, _ in house.shelf.kept} == {0, *executions}


class Foreign:
    """A codec that does not know one record's schema before it has learned it."""

    def __init__(self, house: House) -> None:
        self.house, self.offset, self.known = house, -1, False

    def decode(self, value: bytes) -> object:
        if not self.known and value == self.house.log.records(EVENTS)[self.offset].value:
            raise UnknownSchema("0123")
        return codec.decode_event(value)

    async def learn(self) -> None:
        self.known = True

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Foreign:
        """Whoever restores or is delivered a record reads by it; nobody can be taught."""
        monkeypatch.setattr("noetl_stream.orchestrator.restore.decode_event", self.decode)
        return self
