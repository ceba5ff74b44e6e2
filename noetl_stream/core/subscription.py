"""A subscription compiled: what is read from where, which playbook runs for it, and under which bounds.

Numbers and flags are plain, or an expression where the author wrote a template. None means that the document does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from noetl_stream.core.credentials import Credential, Grant
from noetl_stream.core.plan import Expression, Flag
from noetl_stream.core.values import Value

Mode: TypeAlias = Literal["pull", "push"]
Format: TypeAlias = Literal["json", "avro", "arrow", "bytes"]
Ordering: TypeAlias = Literal["none", "per_partition", "per_key"]
Proof: TypeAlias = Literal["hmac_sha256", "bearer", "standard_webhooks", "oidc"]
Number: TypeAlias = float | Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What is read, in the source's own terms."""

    topic: str | None = None
    subscription: str | None = None
    stream: str | None = None
    consumer: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Who reads, and how much at once; `timeout` is in seconds."""

    target: str | None = None
    pool: str = "default"
    batch: Number = None
    timeout: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What runs for a message or a batch. `payload_from` is a path, or an expression over the message.

    `carry` maps names for the next batch to results of this one.
    """

    playbook: str
    payload_from: str | Expression | None = None
    pool: str | None = None
    batched: Flag = False
    batch_max: Number = None
    as_: Literal["messages", "frame"] = "messages"
    ordering: Ordering = "none"
    carry: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A header that may steer its own dispatch: only to what is `allowed`, after `map` has translated it."""

    header: str
    controls: str
    allowed: tuple[str, ...] = ()
    map: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """What becomes of a message's headers. `passthrough` is all of them, none, or those named."""

    normalize: Flag = True
    directives: tuple[Directive, ...] = ()
    propagate: Flag = False
    baggage: tuple[str, ...] = ()
    passthrough: Flag | tuple[str, ...] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedup:
    """Whether a message that comes again within `window` seconds is dropped."""

    enabled: Flag = True
    window: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """Where messages wait while the target cannot take them; `retention` is in seconds."""

    mode: str | None = None
    backend: str | None = None
    bucket: str | None = None
    credential: tuple[Grant, ...] = ()
    ordering: str | None = None
    ordering_key: str | None = None
    circuit: Value = None
    retention: float | Expression | None = None
    drain: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How a pushed message proves where it comes from: before anything of it is read."""

    type: Proof
    secret: tuple[Grant, ...] = ()
    header: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """Where the gateway takes messages."""

    gateway_path: str | None = None
    verify: Verification | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPlan:
    """A whole subscription, pinned like a playbook.

    Without a `dedup` no message is dropped. `missing` are environment variables that it names and the deployment does not
    show: it cannot be activated before it does.
    """

    path: str
    version: int
    digest: str
    source: str
    mode: Mode
    dispatch: Dispatch
    activation: str = "continuous"
    position: Position = field(default_factory=Position)
    auth: tuple[Grant, ...] = ()
    format: Format = "json"
    runtime: Runtime = field(default_factory=Runtime)
    dedup: Dedup | None = None
    max_in_flight: Number = None
    max_dispatch_per_sec: Number = None
    headers: Headers = field(default_factory=Headers)
    spool: Spool | None = None
    ingress: Ingress | None = None
    keychain: Mapping[str, Credential] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    metadata: Mapping[str, Value] = field(default_factory=dict)
