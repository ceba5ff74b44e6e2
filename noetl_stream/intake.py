"""Intake: what services ask for becomes a request fact in the event log, or a dead letter with a reason."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noetl_stream.core.events import ExecutionRequested
from noetl_stream.core.lanes import Priority
from noetl_stream.core.plan import Plan
from noetl_stream.core.run import INPUT_BYTES, json_size
from noetl_stream.errors import InvalidRequest, NoetlError
from noetl_stream.ids import execution_id, keyed_request, positioned_request
from noetl_stream.ports.catalog import PinnedPlans
from noetl_stream.ports.facts import FactLog
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode, expect
from noetl_stream.wire.letters import Origin, place_of
from noetl_stream.wire.records import Request

_AVRO = b"\xc3\x01"
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
"""Kafka's own rule: a reply that can never be sent would be tried for ever."""


class JsonRequest(BaseModel):
    """A request as services write it: in JSON, or in Avro with the same keys."""

    model_config = ConfigDict(extra="forbid")

    playbook: str
    version: int | None = None
    payload: dict[str, Any] = Field(default_factory=dict)
    idempotency_key: str | None = Field(None, min_length=1)
    reply_to: str | None = None
    correlation: str | None = None
    deadline: float | None = Field(None, allow_inf_nan=False)
    priority: Priority | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Takes requests. `refuse` puts a record to dead letters; `refresh` reads the catalog to its present end."""

    facts: FactLog
    plans: PinnedPlans
    refuse: Callable[[Record, str], Awaitable[None]]
    refresh: Callable[[], Awaitable[None]]
    reply_allowed: Callable[[str], bool]
    clock: Callable[[], float] = time.time
    tenant: str = "default"

    async def take(self, record: Record) -> None:
        """Returns once the request is in the event log, or refused. Raises only if the platform failed."""
        try:
            request = parse(record.value or b"")
            plan = await self._plan(request)
            self._check(request)
            hashed = self._identity(request, record)
            await self._report(execution_id(hashed), self._fact(request, plan, hashed))
        except InvalidRequest as error:
            await self.refuse(record, str(error))

    async def _report(self, execution: int, fact: ExecutionRequested) -> None:
        try:
            await self.facts.report(execution, fact)
        except (TypeError, ValueError) as fault:
            raise InvalidRequest(f"the request cannot be recorded: {fault}") from fault

    async def _plan(self, request: Request) -> Plan:
        found = self.plans.newest(request.playbook, request.version)
        if found is None:
            await self.refresh()
            found = self.plans.newest(request.playbook, request.version)
        if found is None:
            asked = (
                request.playbook
                if request.version is None
                else f"{request.playbook} version {request.version}"
            )
            raise InvalidRequest(
                f"no playbook '{asked}' is in the catalog; register it with `noetl-stream register FILE`"
            )
        return found

    def _check(self, request: Request) -> None:
        """A payload fits an event. Answers go where the deployment lets them, never into our own topics, nor where no topic
        can be.
        """
        if (size := json_size(request.payload)) > INPUT_BYTES:
            raise InvalidRequest(
                f"the payload has {size} bytes of JSON, and a request brings at most {INPUT_BYTES}; "
                "put what is large into a file, table or object store, and send where it stands"
            )
        topic = request.reply_to
        if topic is None:
            return
        if not _TOPIC_NAME.fullmatch(topic) or topic in (".", ".."):
            raise InvalidRequest(
                f"reply_to '{topic}' is no legal topic name; use up to 249 letters, digits, '.', '_' or '-'"
            )
        if not self.reply_allowed(topic):
            raise InvalidRequest(f"replies to '{topic}' are not allowed; use a topic that is")

    def _identity(self, request: Request, record: Record) -> bytes:
        if request.idempotency_key is not None:
            return keyed_request(self.tenant, request.playbook, request.idempotency_key)
        place = _first_place(record)
        return positioned_request(place.topic, 0, place.partition, place.offset)

    def _fact(self, request: Request, plan: Plan, hashed: bytes) -> ExecutionRequested:
        return ExecutionRequested(
            identity=hashed.hex(),
            path=plan.path,
            version=plan.version,
            digest=plan.digest,
            catalog_offset=plan.catalog_offset,
            payload=request.payload,
            seed=secrets.token_hex(16),
            time=self.clock(),
            tenant=self.tenant,
            reply_to=request.reply_to,
            correlation=request.correlation,
            deadline=request.deadline,
            priority=request.priority,
            trace=request.trace,
        )


def _first_place(record: Record) -> Origin:
    """Where a request stood before it was asked again: it keeps its identity.

    Only an earlier place of its own partition is believed: nobody can take the identity of a request yet to come.
    """
    here = Origin(record.topic, record.partition, record.offset)
    first = place_of(record.headers)
    if first is None or first[:2] != here[:2] or first.offset > here.offset:
        return here
    return first


def parse(value: bytes) -> Request:
    """A request from its bytes, Avro or JSON. Raises InvalidRequest with what is wrong and where."""
    written = _from_avro(value) if value.startswith(_AVRO) else _from_json(value)
    if not isinstance(written, dict):
        raise InvalidRequest("a request is a JSON object with a key 'playbook'; see docs/requests.md")
    try:
        return Request(**JsonRequest.model_validate(written).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"request key '{key}': {first['msg']}; see docs/requests.md") from error


def _from_json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"a request is JSON or Avro, and this is neither: {error}") from error


def _from_avro(value: bytes) -> dict[str, Any]:
    try:
        request = expect(Request, decode(value))
    except NoetlError as error:
        raise InvalidRequest(str(error)) from error
    return {field.name: getattr(request, field.name) for field in fields(request)}
