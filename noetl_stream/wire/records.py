"""What stands in topics other than the event log: requests and replies, the catalog, checkpoints, schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from noetl_stream.core.events import Event, Move, Status
from noetl_stream.core.messages import Offer, StopBlocks
from noetl_stream.core.values import Error, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a service sends to have a playbook run. `payload` is plain JSON: nothing in it is a reference.

    Without an `idempotency_key` the request's position in its topic is its identity. `deadline` is seconds since
    the epoch. Tenant and roles come from the topic's configuration or a signed header, never from here.
    """

    playbook: str
    version: int | None = None
    payload: Value = field(default_factory=dict)
    idempotency_key: str | None = None
    reply_to: str | None = None
    correlation: str | None = None
    deadline: float | None = None
    priority: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a service gets back on its `reply_to` topic. A result in the cache stands as `{"__ref__": {…}}`."""

    execution: int
    playbook: str
    version: int
    status: Status
    finished: float
    result: Value = None
    error: Error | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRegistered:
    """A text for a path of the catalog. `digest` is the text's SHA-256 in hex."""

    path: str
    text: str
    digest: str
    time: float
    actor: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A machine's folded state, up to and with `offset`. `shape` is that of its writer's states (core.snapshot)."""

    machine: int
    offset: int
    fence: int
    body: bytes
    shape: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionMarker:
    """A round of checkpoints is complete. `body` names the open machines and the done-set, `shape` as in a checkpoint."""

    partition: int
    folded_to: int
    fence: int
    body: bytes
    chain_head: bytes | None = None
    shape: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRegistered:
    """A writer's schema, before its first use. `fingerprint` is in hex, as it stands in a record's head."""

    fingerprint: str
    schema: str


Record: TypeAlias = (
    Event
    | Move
    | Offer
    | StopBlocks
    | Request
    | Reply
    | PlaybookRegistered
    | Checkpoint
    | PartitionMarker
    | SchemaRegistered
)
