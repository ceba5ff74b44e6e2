"""A playbook's rules for its requests, as values: who may ask, what is recorded, how often, and whom its tasks may call.

Each field is enforced by the part that can: `decide`, the tools, the gateway, the archive. None means that nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from noetl_stream.core.plan import Expression, Flag  # a plan has a policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may start and read executions. Empty: any role, any tenant."""

    roles: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What is kept for auditors: `retain` is in seconds, `encrypt` are the fields that stand encrypted."""

    level: str | None = None
    retain: float | None = None
    encrypt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay may rest on. `record` is all, nothing, or what is named. Templates are over the inputs."""

    record: Flag | tuple[str, ...] = True
    deterministic: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What payloads and results look like, and what becomes of those that do not."""

    input: Mapping[str, Value] = field(default_factory=dict)
    output: Mapping[str, Value] = field(default_factory=dict)
    on_drift: Literal["fail", "quarantine", "widen"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many executions with the same `key` (of the inputs) may run at once; `max` yields a number."""

    max: Expression
    key: Expression | None = None
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many executions with the same `key` may start in `per` seconds; `max` yields a number."""

    max: Expression
    per: float = 1.0
    key: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the playbook starts by itself. `catchup` tells whether missed times are made up for.

    A template there is over the inputs, which are the defaults: nobody gives others.
    """

    cron: str
    timezone: str = "UTC"
    catchup: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The document's `policy`, but for `retry`, `on_failure` and `deadline`, which stand where they act.

    `retention` are seconds by what is retained, "all" for everything. `hosts` are the only ones that its tasks may
    call, as `name`, `*.name` or either with a port; None leaves them to the deployment.
    """

    access: Access | None = None
    audit: Audit | None = None
    replay: Replay | None = None
    contract: Contract | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    retention: Mapping[str, float] = field(default_factory=dict)
    schedule: tuple[Schedule, ...] = ()
    hosts: tuple[str, ...] | None = None
