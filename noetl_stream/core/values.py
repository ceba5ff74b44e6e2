"""What travels between blocks: JSON values, references to what is too large for an event, and errors as facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Value: TypeAlias = Any
"""JSON (None, bool, int, float, str, list, dict with str keys), in which a `Ref` may stand anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A result in the shared cache. `parts` holds what conditions read of it, by path, so that nobody need fetch it.

    `bytes` is the stored size; `rows` and `schema` (a fingerprint) are set for tables; `sha256` is of the stored bytes.
    A loop too large for an event is `chunks`: `uri` names (execution, step, epoch), each chunk holds 1,000 results by index.
    """

    uri: str
    bytes: int
    sha256: str
    format: Literal["json", "arrow", "chunks"]
    rows: int | None = None
    schema: str | None = None
    parts: Mapping[str, Value] = field(default_factory=dict)


class NeedsPayload(LookupError):
    """An expression read something of a referenced value that its `parts` do not hold: a worker must evaluate it."""


def twin(original: T) -> T:
    """A shallow copy of a dataclass, at a third of what `replace` costs: every decision copies a machine."""
    copied = object.__new__(type(original))
    for name in original.__dataclass_fields__:  # type: ignore[attr-defined]
        setattr(copied, name, getattr(original, name))
    return copied


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Why a block, a step or an execution failed. `kind` is one of the language's error kinds."""

    kind: str
    message: str
    retryable: bool = False
    status: int | None = None
    code: str | None = None
    step: str | None = None
    place: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Marks a step's or task's result in a scope: look-ups on it are lenient (dsl: names, rule 4)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Envelope:
    """Marks an envelope in a scope: `{status, data, response, error, http, ref, meta}`, lenient like a result."""

    fields: Mapping[str, Value]
