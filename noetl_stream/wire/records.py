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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One version of a credential, encrypted. `fields` are its fields' names, `key` the key that `wrapped` the data key."""

    version: int
    fields: tuple[str, ...]
    time: float
    key: str
    wrapped: bytes
    nonce: bytes
    ciphertext: bytes
    actor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialStored:
    """A credential as it stands: its newest version, then the one before, kept until `kept_until`.

    `change` is what made this record. `owner` is the playbook, or the folder of them, that it is for, by its `scope`.
    """

    tenant: str
    alias: str
    scope: str
    change: str
    time: float
    versions: tuple[Sealed, ...]
    owner: str = ""
    type: str | None = None
    kept_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialChanged:
    """Somebody changes a credential. Appended before the change itself, so that there is none without."""

    tenant: str
    alias: str
    scope: str
    change: str
    action: str
    time: float
    owner: str = ""
    actor: str | None = None
    version: int | None = None
    key: str | None = None


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
    | CredentialStored
    | CredentialChanged
)
