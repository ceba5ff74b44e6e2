"""What services ask for becomes a fact in the event log, or a dead letter with one clear sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from noetl_stream.adapters.fact_log import KafkaFactLog
from noetl_stream.core.events import CancelRequested, ExecutionRequested
from noetl_stream.core.plan import Plan
from noetl_stream.errors import AppendUnknown
from noetl_stream.ids import execution_id, partition_of
from noetl_stream.intake import Intake
from noetl_stream.ports.log import Record
from noetl_stream.settings import Settings
from noetl_stream.wire.codec import decode_event, encode
from noetl_stream.wire.letters import ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC
from noetl_stream.wire.records import Request
from noetl_stream.wire.topics import Topics
from tests.memory import MemoryLog, MemoryPlans
from tests.worker.stage import plan_of

TOPICS = Topics(partitions=4)
NOW = 1_700_000_000.0


@dataclass(slots=True)
class Door:
    """Intake over a log in memory. `refused` are dead letters: offset and reason."""

    log: MemoryLog = field(default_factory=MemoryLog)
    plans: MemoryPlans = field(default_factory=MemoryPlans)
    late: list[Plan] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    tenant: str = "default"

    async def take(
        self, value: bytes | None, offset: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        record = Record(
            topic="noetl.requests",
            partition=1,
            offset=offset,
            timestamp=0,
            key=None,
            value=value,
            headers=headers,
        )
        await self.intake().take(record)

    async def ask(self, offset: int = 0, **request: Any) -> None:
        await self.take(orjson.dumps({"playbook": "sales"} | request), offset)

    def intake(self) -> Intake:
        return Intake(
            facts=KafkaFactLog(self.log, TOPICS.events),
            plans=self.plans,
            refuse=self._refuse,
            refresh=self._refresh,
            reply_allowed=Settings.model_validate({}).reply_allowed,
            clock=lambda: NOW,
            tenant=self.tenant,
        )

    async def _refuse(self, record: Record, reason: str) -> None:
        self.refused.append((record.offset, reason))

    async def _refresh(self) -> None:
        self.plans.plans += self.late

    @property
    def facts(self) -> list[ExecutionRequested]:
        records = [r for p in range(4) for r in self.log.records(TOPICS.events.name, p)]
        found = [decode_event(record.value or b"") for record in records]
        return [event for event in found if isinstance(event, ExecutionRequested)]


@pytest.fixture
def door() -> Door:
    return Door(plans=MemoryPlans(plan_of("- {step: load, tool: {kind: noop}}")))


async def test_a_payload_too_large_for_an_event_is_refused_with_the_limit_and_what_to_do(door: Door) -> None:
    await door.ask(payload={"text": "x" * (160 * 1024)})
    await door.ask(payload={"text": "x" * (160 * 1024 - 100)}, offset=1)

    assert door.refused == [
        (
            0,
            "the payload has 163851 bytes of JSON, and a request brings at most 163840; "
            "put what is large into a file, table or object store, and send where it stands",
        )
    ]
    [fact] = door.facts
    assert len(encode(fact)) < 256 * 1024


async def test_a_json_request_pins_what_will_run(door: Door) -> None:
    await door.ask(
        payload={"day": 1},
        correlation="c1",
        reply_to="replies",
        deadline=NOW + 60,
        priority="high",
        trace="t",
    )

    [fact] = door.facts
    plan = door.plans.plans[0]
    assert (fact.path, fact.version, fact.digest) == ("sales", 1, plan.digest)
    assert (fact.payload, fact.correlation, fact.reply_to) == ({"day": 1}, "c1", "replies")
    assert (fact.deadline, fact.priority, fact.trace, fact.time) == (NOW + 60, "high", "t", NOW)
    assert door.refused == []


async def test_a_priority_that_is_no_lane_is_refused(door: Door) -> None:
    await door.ask(priority="urgent")

    assert door.facts == []
    [(_, reason)] = door.refused
    assert reason.startswith("request key 'priority': Input should be 'high', 'normal' or 'low'")


async def test_an_avro_request_is_the_same_request(door: Door) -> None:
    await door.take(encode(Request(playbook="sales", payload={"day": 1}, idempotency_key="k", deadline=5.0)))
    await door.ask(payload={"day": 1}, idempotency_key="k", deadline=5.0)

    first, second = door.facts
    assert replace(first, seed="") == replace(second, seed="")


async def test_the_fact_stands_where_its_execution_lives(door: Door) -> None:
    await door.ask(idempotency_key="k")

    [fact] = door.facts
    execution = execution_id(bytes.fromhex(fact.identity))
    [record] = door.log.records(TOPICS.events.name, partition_of(execution, 4))
    assert record.key == str(execution).encode()


async def test_a_key_makes_two_requests_one_wherever_they_stand(door: Door) -> None:
    for offset in range(2):
        await door.ask(offset, idempotency_key="k")

    assert len({fact.identity for fact in door.facts}) == 1


async def test_without_a_key_the_position_is_the_identity(door: Door) -> None:
    for offset in (0, 1, 1):
        await door.ask(offset)

    first, second, again = sorted(fact.identity for fact in door.facts)
    assert len({first, second, again}) == 2


async def test_a_key_belongs_to_its_playbook(door: Door) -> None:
    door.plans.plans.append(replace(door.plans.plans[0], path="other"))
    await door.ask(idempotency_key="k")
    await door.ask(idempotency_key="k", playbook="other")

    assert len({fact.identity for fact in door.facts}) == 2


async def test_each_request_draws_a_seed_that_nobody_can_guess(door: Door) -> None:
    await door.ask(0)
    await door.ask(1)

    assert len({fact.seed for fact in door.facts}) == 2
    assert all(len(fact.seed) == 32 for fact in door.facts)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "a request is JSON or Avro, and this is neither"),
        (b"", "a request is JSON or Avro, and this is neither"),
        (b"{", "a request is JSON or Avro, and this is neither"),
        (
            b'{"playbook": "sales", "payload": {"x": "\xff"}}',
            "a request is JSON or Avro, and this is neither",
        ),
        (b"[" * 5000, "a request is JSON or Avro, and this is neither"),
        (
            b'{"playbook": "sales", "payload": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}",
            "the request cannot be recorded: not a JSON value",
        ),
        (b"[]", "a request is a JSON object with a key 'playbook'"),
        (b"3", "a request is a JSON object with a key 'playbook'"),
        (b"{}", "request key 'playbook': Field required"),
        (b'{"playbook": 3}', "request key 'playbook': Input should be a valid string"),
        (b'{"playbook": "sales", "playload": {}}', "request key 'playload': Extra inputs are not permitted"),
        (
            b'{"playbook": "sales", "payload": [1]}',
            "request key 'payload': Input should be a valid dictionary",
        ),
        (b'{"playbook": "sales", "version": "x"}', "request key 'version': Input should be a valid integer"),
        (
            b'{"playbook": "sales", "deadline": "soon"}',
            "request key 'deadline': Input should be a valid number",
        ),
        (
            b'{"playbook": "sales", "idempotency_key": ""}',
            "request key 'idempotency_key': String should have at least 1",
        ),
        (b'{"playbook": "none"}', "no playbook 'none' is in the catalog; register it"),
        (
            b'{"playbook": "sales", "version": 7}',
            "no playbook 'sales version 7' is in the catalog; register it",
        ),
        (b'{"playbook": "sales", "reply_to": "noetl.events"}', "replies to 'noetl.events' are not allowed"),
        (b'{"playbook": "sales", "reply_to": ""}', "reply_to '' is no legal topic name"),
        (b"\xc3\x01", "unreadable record: it does not begin with C3 01"),
        (b"\xc3\x01" + bytes(8), "no schema with fingerprint 0000000000000000 is registered"),
        (encode(CancelRequested(time=0.0)), "a CancelRequested stands where a Request belongs"),
        (encode(Request(playbook="sales"))[:-1], "unreadable record: its body does not fit its schema"),
        (
            encode(Request(playbook="sales", payload=[1])),
            "request key 'payload': Input should be a valid dictionary",
        ),
        (
            encode(Request(playbook="sales", idempotency_key="")),
            "request key 'idempotency_key': String should have",
        ),
        (
            encode(Request(playbook="sales", deadline=float("nan"))),
            "request key 'deadline': Input should be a finite",
        ),
    ],
)
async def test_a_malformed_request_is_set_aside_with_one_sentence(
    door: Door, value: bytes, reason: str
) -> None:
    await door.take(value, offset=5)

    [(offset, said)] = door.refused
    assert offset == 5
    assert reason in said
    assert "\n" not in said
    assert door.facts == []


async def test_a_playbook_registered_a_moment_ago_is_found(door: Door) -> None:
    door.late, door.plans.plans = door.plans.plans, []
    await door.ask()

    assert len(door.facts) == 1


async def test_a_version_may_be_asked_for_and_the_newest_runs_by_default(door: Door) -> None:
    door.plans.plans.append(replace(door.plans.plans[0], version=2))
    await door.ask(0, version=1)
    await door.ask(1)

    assert sorted(fact.version for fact in door.facts) == [1, 2]


async def test_a_request_whose_fate_is_unknown_is_the_same_when_it_is_taken_again(door: Door) -> None:
    door.log.fates.append("lands unheard")
    with pytest.raises(AppendUnknown):
        await door.ask()
    await door.ask()

    first, second = door.facts
    assert first.identity == second.identity
    assert door.refused == []


async def test_requests_may_be_taken_side_by_side(door: Door) -> None:
    await asyncio.gather(*(door.ask(offset) for offset in range(50)))

    assert len(door.facts) == 50


async def test_a_request_is_its_topics_tenants_and_so_is_its_identity(door: Door) -> None:
    await door.ask(idempotency_key="k")
    door.tenant = "acme"
    await door.ask(idempotency_key="k")

    assert {fact.tenant for fact in door.facts} == {"default", "acme"}
    assert len({fact.identity for fact in door.facts}) == 2


def from_place(topic: str, partition: int, offset: int) -> tuple[tuple[str, bytes], ...]:
    place = {ORIGIN_TOPIC: topic, ORIGIN_PARTITION: partition, ORIGIN_OFFSET: offset}
    return tuple((name, str(value).encode()) for name, value in place.items())


async def test_a_request_that_is_asked_again_keeps_the_identity_of_its_first_place(door: Door) -> None:
    await door.take(b'{"playbook": "sales"}', 3)
    await door.take(b'{"playbook": "sales"}', 7, from_place("noetl.requests", 1, 3))

    first, again = door.facts
    assert again.identity == first.identity


@pytest.mark.parametrize(
    "place", [("noetl.requests", 1, 8), ("noetl.requests", 0, 3), ("others", 1, 3)], ids=str
)
async def test_nobody_takes_the_identity_of_another_or_of_a_request_yet_to_come(
    door: Door, place: tuple[str, int, int]
) -> None:
    await door.take(b'{"playbook": "sales"}', 7)
    await door.take(b'{"playbook": "sales"}', 7, from_place(*place))

    plain, claimed = door.facts
    assert claimed.identity == plain.identity
