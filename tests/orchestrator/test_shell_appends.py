"""What becomes of decisions and messages when the broker answers late, wrongly or not at all."""

from __future__ import annotations

import asyncio

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import CancelRequested, RecordRejected
from noetl_stream.orchestrator import checkpointing
from noetl_stream.wire.codec import encode
from tests.orchestrator.seat import EVENTS, House
from tests.worker.stage import plan_of

ONE = "- {step: one, tool: {kind: noop}}\n"


@pytest.fixture
def house(tmp_path: object) -> House:
    return House(plan_of(ONE), LocalCache(tmp_path))  # type: ignore[arg-type]


async def test_an_append_of_unknown_fate_is_repeated_byte_for_byte(house: House) -> None:
    """Time passes between the tries, so a decision made anew would differ."""
    await house.taken()
    house.log.fates.extend(["lands", "is lost"])
    house.request()
    await house.shell.receive(house.log.records(EVENTS)[1])
    house.log.now += 5
    await house.settled()

    tried = [value for topic, value in house.log.tried if topic == EVENTS]
    assert tried[-1] == tried[-2]
    assert (len(house.decisions), len(house.offers)) == (1, 1)


async def test_an_append_of_unknown_fate_that_is_read_back_is_not_repeated(house: House) -> None:
    await house.taken()
    house.log.fates.extend(["lands", "lands unheard"])
    house.request()
    await house.settled()

    assert (len(house.decisions), len(house.offers)) == (1, 1)


async def test_a_decision_that_was_refused_is_appended_again(house: House) -> None:
    await house.taken()
    house.log.fates.extend(["lands", "is refused", "is refused"])
    house.request()
    await house.settled()

    assert (len(house.decisions), len(house.offers)) == (1, 1)


async def test_nothing_is_sent_before_its_decision_stands(house: House) -> None:
    await house.taken()
    house.log.fates.append("lands")
    house.log.fates.extend(["is refused"] * 50)
    house.request()
    await house.settled()

    assert (house.decisions, house.offers) == ([], [])


async def test_the_committed_offset_waits_for_an_unsent_message(house: House) -> None:
    """The decision is folded and stands at 2; its offer does not land."""
    await house.taken()
    house.log.fates.extend(["lands", "lands"])
    house.log.fates.extend(["is refused"] * 10_000)
    house.request()
    await house.settled()
    assert house.committed == 2

    house.log.fates.clear()
    await house.settled()

    assert (house.committed, len(house.offers)) == (3, 1)


async def test_a_reply_that_cannot_be_sent_now_is_sent_later(house: House) -> None:
    await house.taken()
    execution = house.request(reply_to="replies", correlation="c")
    await house.settled()
    house.log.fates.extend(["lands", "lands", "is refused", "is lost"])
    house.complete(execution, "one")
    await house.settled()

    [reply] = house.log.records("replies")
    assert reply.key == b"c"
    assert b'"status":"COMPLETED"' in (reply.value or b"")
    assert house.committed == len(house.events)


async def test_a_reply_that_can_never_be_sent_is_set_aside_and_holds_nothing(house: House) -> None:
    await house.taken()
    execution = house.request(reply_to="no such topic")
    await house.settled()
    house.log.missing = "no such topic"
    house.complete(execution, "one")
    await house.settled()

    [(offset, reason)] = house.dead
    assert offset == len(house.events) - 1
    assert reason.startswith("the reply to 'no such topic' cannot be sent: ")
    assert house.committed == len(house.events)


async def test_a_request_that_comes_again_after_its_end_is_answered_from_the_log(house: House) -> None:
    await house.taken()
    execution = house.request(reply_to="replies")
    await house.settled()
    house.complete(execution, "one", result={"n": 1})
    await house.settled()

    house.request(reply_to="replies", correlation="again")
    await house.settled()

    first, second = house.log.records("replies")
    assert b'"result":{"n":1}' in (first.value or b"")
    assert b'"result":{"n":1}' in (second.value or b"")
    assert second.key == b"again"


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"\xc3\x01" + bytes(8), encode(CancelRequested(time=0.0))[:-1]]
)
async def test_what_nobody_can_read_goes_to_dead_letters_and_the_partition_goes_on(
    house: House, value: bytes
) -> None:
    await house.taken()
    house.write_bytes(value, machine=5)
    house.request()
    await house.settled()

    assert [offset for offset, _ in house.dead] == [1]
    assert [event.offset for event in house.events if isinstance(event, RecordRejected)] == [1]
    assert len(house.offers) == 1
    assert house.committed == len(house.log.records(EVENTS))


async def test_an_unknown_schema_is_looked_for_before_it_is_rejected(house: House) -> None:
    await house.taken()
    house.write_bytes(b"\xc3\x01" + bytes(8), machine=5)
    await house.settled()

    assert house.learned == 1
    assert "no schema with fingerprint 0000000000000000 is registered" in house.dead[0][1]


async def test_a_record_under_a_foreign_key_is_rejected(house: House) -> None:
    await house.taken()
    house.log.append_soon(EVENTS, encode(CancelRequested(time=0.0)), key=b"no number", partition=0)
    house.request()
    await house.settled()

    assert [offset for offset, _ in house.dead] == [1]
    assert len(house.offers) == 1


async def test_rounds_come_after_so_many_records_and_stand_at_a_calm_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is folded in the same turn of the loop, a marker never stands past an unsent message."""
    monkeypatch.setattr(checkpointing, "RECORDS", 3)
    await house.taken()
    for key in "abcdefgh":
        execution = house.request(key)
        await house.settled()
        house.complete(execution, "one")
        committed = house.committed
        await house.settled()
        assert house.committed >= committed

    markers = house.shelf.markers
    assert len(markers) >= 3
    assert [m.folded_to for m in markers] == sorted({m.folded_to for m in markers})
    assert markers[-1].folded_to < house.committed


async def test_the_state_of_a_round_is_the_one_of_its_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is folded before the round's first write is after its marker."""
    await house.taken()
    house.request("a")
    await house.settled()
    seat = house.shell._seats[0]
    position = seat.owner.position

    writing = seat.rounds.run()
    house.request("b")
    await house.settled()
    await writing

    assert seat.owner.position > position
    assert house.shelf.markers[-1].folded_to == position - 1
    assert len(house.shelf.machines) == 1


async def test_a_round_is_under_way_from_its_first_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 1)
    await house.taken()
    seat = house.shell._seats[0]
    house.request("a")
    await house.settled()
    house.request("b")
    await house.settled()
    monkeypatch.setattr(checkpointing, "RECORDS", 0)
    assert seat.rounds.due()

    writing = seat.rounds.run()

    assert not seat.rounds.due()
    await writing


async def test_what_has_ended_leaves_the_checkpoints(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 1)
    await house.taken()
    execution = house.request()
    await house.settled()
    assert len(house.shelf.machines) == 1

    house.complete(execution, "one")
    await house.settled()
    house.request("another")
    await house.settled()

    assert house.shelf.machines == [house.offers[-1].execution]


async def test_checkpoints_that_cannot_be_written_stop_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "RECORDS", 1)
    house.shelf.broken = True
    await house.taken()
    execution = house.request()
    await house.settled()
    house.complete(execution, "one")
    await house.settled()
    assert [end.status for end in house.endings()] == ["COMPLETED"]

    house.shelf.broken = False
    house.request("b")
    await house.settled()

    assert len(house.shelf.markers) >= 1


async def test_a_fact_of_this_process_is_folded_before_the_broker_brings_it(house: House) -> None:
    await house.taken()
    execution = house.request()
    await house.settled()
    cancel = CancelRequested(time=house.log.now)
    house.write(cancel, execution)

    house.shell.overhear(0, len(house.log.records(EVENTS)) - 1, execution, cancel)
    await asyncio.sleep(0)

    assert [end.status for end in house.endings()] == ["CANCELLED"]
    await house.settled()
    assert house.held() == house.folded()


async def test_a_fact_that_is_not_the_next_waits_for_the_broker(house: House) -> None:
    await house.taken()
    execution = house.request()
    await house.settled()
    house.write(CancelRequested(time=0.0), 77)
    house.write(CancelRequested(time=house.log.now), execution)

    house.shell.overhear(
        0, len(house.log.records(EVENTS)) - 1, execution, CancelRequested(time=house.log.now)
    )
    assert house.endings() == []

    await house.settled()
    assert [end.status for end in house.endings()] == ["CANCELLED"]
    assert house.held() == house.folded()
