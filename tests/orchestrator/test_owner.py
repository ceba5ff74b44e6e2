"""The owner of a partition: what it appends and sends, what may be committed, and what becomes of a fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from noetl_stream.core.decide import MOVES_PER_DECISION
from noetl_stream.core.events import (
    BlockCompleted,
    BlockFailed,
    BlockId,
    BlockOffered,
    CancelRequested,
    Decision,
    Event,
    ExecutionQuarantined,
    ExecutionRequested,
    ExecutionStarted,
    PartitionTaken,
    Retry,
)
from noetl_stream.core.messages import Message, Offer, Reply
from noetl_stream.core.partition import Partition
from noetl_stream.core.plan import Plan
from noetl_stream.core.values import Value
from noetl_stream.orchestrator.owner import Append, Owner
from tests.histories.blueprints import chain, loop, plan, step
from tests.histories.builder import BROKEN, EXECUTION, START, request

OTHER = 4


@dataclass(slots=True)
class Broker:
    """An owner at its partition: a log, and appends that land when the test says so."""

    plan: Plan
    owner: Owner = field(init=False)
    log: list[tuple[int, Event]] = field(default_factory=list)
    now: float = START

    def __post_init__(self) -> None:
        self.owner = Owner(fence=0, state=Partition(), position=0, plans=self._plan)
        self.arrives(PartitionTaken(owner="me", time=self.now), machine=0)

    def _plan(self, request: ExecutionRequested) -> Plan:
        if request.path == "lost":
            raise KeyError("no such playbook")
        return self.plan

    def written(self, event: Event, machine: int = EXECUTION) -> int:
        """A record that stands in the log and was not read yet."""
        self.log.append((machine, event))
        return len(self.log) - 1

    def read(self) -> Self:
        """All that was written is read, in order."""
        for offset in range(self.owner.position, len(self.log)):
            machine, event = self.log[offset]
            self.owner.fold(offset, machine, event, self.now)
        return self

    def arrives(self, event: Event, machine: int = EXECUTION) -> Self:
        self.written(event, machine)
        return self.read()

    def requested(self, **more: Any) -> Self:
        return self.arrives(request(self.plan, **more))

    def completed(self, name: str, iteration: int = 0, result: Value = 1) -> Self:
        return self.arrives(completed(name, iteration, result))

    def appends(self) -> list[Append]:
        return list(self.owner.appends(self.now))

    def lands(self, append: Append) -> int:
        """The broker acknowledges an append."""
        offset = self.written(append.event, append.machine)
        self.owner.landed(append, offset, self.now)
        return offset

    def decides(self) -> Self:
        for append in self.appends():
            self.lands(append)
        return self

    def fresh(self) -> list[Message]:
        return [sending.message for sending in self.owner.fresh()]


def completed(name: str, iteration: int = 0, result: Value = 1) -> BlockCompleted:
    return BlockCompleted(
        block=BlockId(name, 0, iteration), attempt=0, segment=0, run="r", result=result, time=START
    )


def test_a_request_is_answered_by_a_decision_after_it() -> None:
    (append,) = Broker(chain("a")).requested().appends()

    assert isinstance(append.event, Decision)
    assert (append.event.fence, append.event.after, append.event.at) == (0, 1, START)
    assert isinstance(append.event.moves[0], ExecutionStarted)


def test_nothing_is_sent_before_the_log_has_taken_the_decision() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()

    assert broker.fresh() == []

    broker.lands(append)

    assert [type(message) for message in broker.fresh()] == [Offer]
    assert broker.fresh() == []


def test_an_own_acknowledgement_is_folded_at_once_if_nothing_came_between() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()

    offset = broker.lands(append)

    assert broker.owner.position == offset + 1
    assert broker.owner.fold(offset, append.machine, append.event, START) is None


def test_an_own_acknowledgement_behind_unread_records_waits_to_be_read() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()
    broker.written(CancelRequested(time=START), machine=OTHER)

    broker.lands(append)

    assert (broker.owner.position, broker.fresh()) == (2, [])
    assert [type(message) for message in broker.read().fresh()] == [Offer]


def test_the_committed_offset_stays_at_a_record_until_its_messages_are_delivered() -> None:
    broker = Broker(chain("a")).requested().decides()
    (sending,) = broker.owner.fresh()

    assert (broker.owner.committable, broker.owner.idle) == (2, False)

    broker.arrives(CancelRequested(time=START), machine=OTHER)
    assert broker.owner.committable == 2

    sending.done = True
    assert (broker.owner.committable, broker.owner.idle) == (4, True)


def test_a_later_message_that_is_delivered_first_lets_nothing_pass() -> None:
    blueprint = plan(step("a", loop=loop(2, limit=2, parallel=True)))
    broker = Broker(blueprint).requested().decides()
    first, second = broker.owner.fresh()

    second.done = True
    assert broker.owner.committable == 2

    first.done = True
    assert broker.owner.committable == 3


def test_records_below_the_position_are_not_folded_again() -> None:
    broker = Broker(chain("a")).requested().decides()

    assert broker.owner.fold(1, EXECUTION, broker.log[1][1], START) is None
    assert broker.appends() == []


def test_what_was_sent_before_a_restore_is_not_sent_again() -> None:
    broker = Broker(chain("a")).requested().decides()
    restored = Owner(fence=0, state=Partition(), position=0, plans=lambda asked: broker.plan)

    for offset, (machine, event) in enumerate(broker.log):
        restored.fold(offset, machine, event, START, unsent=offset >= 3)

    assert (restored.fresh(), restored.committable) == ([], 3)


def test_one_decision_at_a_time_is_in_flight() -> None:
    blueprint = plan(step("a", loop=loop(9, limit=2, parallel=True)))
    broker = Broker(blueprint).requested().decides().completed("a", 0)
    (append,) = broker.appends()

    broker.completed("a", 1)

    assert (broker.appends(), broker.owner.busy) == ([], False)

    broker.lands(append)
    broker.read()
    (behind,) = broker.appends()

    assert [move.block.iteration for move in append.event.moves] == [2]  # type: ignore[union-attr]
    assert [move.block.iteration for move in behind.event.moves] == [3]  # type: ignore[union-attr]


def test_a_stale_decision_is_decided_again() -> None:
    broker = Broker(chain("a")).requested()
    (late,) = broker.appends()
    broker.written(CancelRequested(time=START))
    broker.lands(late)

    broker.read()

    assert broker.fresh() == []
    (again,) = broker.appends()
    assert [type(move).__name__ for move in again.event.moves] == ["ExecutionEnded"]  # type: ignore[union-attr]


def test_an_append_of_unknown_fate_is_repeated_as_it_was() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()

    broker.owner.fate_unknown(append)
    broker.now += 5.0

    assert broker.owner.busy
    (repeated,) = broker.appends()
    assert repeated is append
    assert broker.appends() == []


def test_an_append_of_unknown_fate_that_is_read_back_is_not_repeated() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()
    broker.owner.fate_unknown(append)

    broker.arrives(append.event)

    assert (broker.appends(), broker.owner.busy) == ([], False)
    assert len(broker.fresh()) == 1


def test_an_append_that_stood_in_the_log_twice_counts_once() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()
    broker.owner.fate_unknown(append)
    broker.written(append.event)

    broker.lands(append)
    broker.read()

    assert len(broker.fresh()) == 1
    assert broker.appends() == []


def test_news_of_an_append_that_was_answered_is_no_news() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()
    broker.lands(append)

    broker.owner.fate_unknown(append)

    assert broker.appends() == []


def test_a_decision_whose_values_read_back_otherwise_is_known_again() -> None:
    """A NaN equals nothing, itself as read from bytes included."""
    broker = Broker(chain("a", "b")).requested(payload={"x": float("nan")})
    (append,) = broker.appends()
    assert isinstance(append.event, Decision)
    moves = (ExecutionStarted(workload={"x": float("nan")}, entry="a"), *append.event.moves[1:])

    broker.arrives(Decision(fence=0, after=1, at=START, moves=moves)).completed("a")

    assert len(broker.appends()) == 1


def test_a_newer_fence_supersedes_the_owner_and_an_older_does_not() -> None:
    broker = Broker(chain("a"))
    assert not broker.owner.superseded

    broker.arrives(PartitionTaken(owner="other", time=START), machine=0)

    assert broker.owner.superseded


def test_a_superseded_owners_decision_is_stale_and_sends_nothing() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()
    broker.written(PartitionTaken(owner="other", time=START), machine=0)
    broker.lands(append)

    broker.read()

    assert broker.fresh() == []


def test_after_a_restore_every_open_execution_is_decided_once() -> None:
    broker = Broker(chain("a"))
    broker.requested().arrives(request(broker.plan), machine=OTHER)
    restored = Owner(fence=0, state=broker.owner.state, position=3, plans=lambda asked: broker.plan)

    restored.decide_all()

    assert [append.machine for append in restored.appends(START)] == [EXECUTION, OTHER]
    assert list(restored.appends(START)) == []


def test_a_backoff_is_decided_when_its_alarm_rings() -> None:
    broker = Broker(chain("a")).requested().decides()
    broker.arrives(
        BlockFailed(
            block=BlockId("a", 0, 0),
            attempt=0,
            segment=0,
            run="r",
            error=BROKEN,
            retry=Retry(after=3.0),
            time=START,
        )
    )

    assert (broker.appends(), broker.owner.next_alarm) == ([], START + 3.0)

    broker.now += 3.0
    (append,) = broker.appends()

    assert append.event.moves == (BlockOffered(block=BlockId("a", 0, 0), attempt=1, segment=0),)  # type: ignore[union-attr]


def test_a_restored_owner_rings_for_timers_that_were_set_before_it() -> None:
    broker = Broker(chain("a")).requested(deadline=START + 9.0).decides()
    restored = Owner(fence=0, state=broker.owner.state, position=3, plans=lambda asked: broker.plan)
    restored.decide_all()

    assert list(restored.appends(START)) == []
    assert len(list(restored.appends(START + 9.0))) == 1


def test_an_execution_that_ended_is_rung_for_no_more() -> None:
    broker = Broker(chain("a")).requested(deadline=START + 9.0).decides().completed("a").decides()

    broker.now += 1_000.0

    assert broker.appends() == []


def test_a_decision_as_long_as_may_be_is_followed_by_another() -> None:
    wide = MOVES_PER_DECISION + 500
    broker = Broker(plan(step("a", loop=loop(wide, limit=wide, parallel=True)))).requested()

    broker.decides().decides()

    assert len(broker.fresh()) == wide
    assert broker.appends() == []


def faulty(scope: Any) -> Value:
    raise ZeroDivisionError("a fault of ours, and a value: s3cret")


def test_a_fault_of_ours_costs_one_execution_and_the_others_go_on() -> None:
    broker = Broker(plan(step("a", "b", writes=lambda s: faulty(s) if s["workload"] else {}), step("b")))
    broker.requested(payload={"bad": 1}, reply_to="answers").arrives(
        request(broker.plan), machine=OTHER
    ).decides()
    for machine in (EXECUTION, OTHER):
        broker.arrives(completed("a"), machine)
    broker.fresh()

    quarantine, decision = broker.appends()

    assert isinstance(quarantine.event, ExecutionQuarantined)
    assert quarantine.event.reason.startswith("ZeroDivisionError at test_owner.py:")
    assert "s3cret" not in quarantine.event.reason, "the log is for ever, and exceptions quote values"
    assert broker.appends() == [], "one append is enough"

    broker.lands(quarantine)
    broker.lands(decision)

    assert [type(message) for message in broker.fresh()] == [Reply, Offer]
    assert list(broker.owner.state.machines) == [OTHER]
    assert broker.appends() == []


def test_a_playbook_that_cannot_be_had_costs_its_execution_and_whoever_asked_is_told() -> None:
    broker = Broker(chain("a")).requested(path="lost", reply_to="answers")
    (append,) = broker.appends()

    assert isinstance(append.event, ExecutionQuarantined)

    broker.lands(append)

    (reply,) = broker.fresh()
    assert isinstance(reply, Reply)
    assert (reply.status, reply.error and reply.error.kind) == ("FAILED", "quarantined")


def test_a_decision_that_cannot_be_written_down_costs_its_execution() -> None:
    broker = Broker(chain("a")).requested()
    (append,) = broker.appends()

    instead = broker.owner.refuse(append, TypeError("no such type in the schema"))

    assert isinstance(instead.event, ExecutionQuarantined)
    broker.lands(instead)
    assert (broker.owner.state.machines, broker.appends()) == ({}, [])


def test_an_accepted_record_that_cannot_be_carried_out_costs_its_execution() -> None:
    """Somebody's decision under our fence that no code of ours can have made."""
    broker = Broker(chain("a")).requested().decides()

    broker.arrives(Decision(fence=0, after=2, at=START, moves=(ExecutionStarted(workload={}, entry="a"),)))
    (append,) = broker.appends()

    assert isinstance(append.event, ExecutionQuarantined)
    assert "ExecutionStarted has no arrow from 'running'" in append.event.reason
    broker.lands(append)
    assert broker.appends() == []
    assert broker.owner.state.machines == {}
