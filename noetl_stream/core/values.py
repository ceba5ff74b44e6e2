"""What travels between blocks: JSON values, references to what is too large for an event, and errors as facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Value: TypeAlias = Any
"""JSON (None, bool, int, float, str, list, dict with str keys), in which a `Ref` may stand anywhere, a `Piped` on top."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Of a loop's results in chunks, `count` from index `first` on stand in the object `name`: a chunk, or a single one."""

    first: int
    count: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A result in the shared cache. `parts` holds what conditions read of it, by path, so that nobody need fetch it.

    `bytes` is the stored size; `rows` and `schema` (a fingerprint) are set for tables; `sha256` is of the stored bytes;
    `store` is where it lives in the language's words, where its size alone does not tell.
    A loop too large for an event is `chunks`: `uri` names (execution, step, epoch), each chunk holds 1,000 results by index.
    What stands `elsewhere` counts instead, the later over the earlier.
    """

    uri: str
    bytes: int
    sha256: str
    format: Literal["json", "arrow", "chunks"]
    rows: int | None = None
    schema: str | None = None
    store: str | None = None
    parts: Mapping[str, Value] = field(default_factory=dict)
    elsewhere: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True, slots=True)
class Piped:
    """A pipeline's result: its last task's, with every task's beside it for whoever asks for `.results.<task>`."""

    value: Value
    tasks: Mapping[str, Value]


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
    """Marks a step's or task's result in a scope: look-ups on it are lenient (dsl: names, rule 4).

    `tasks` are those of a pipeline, `ref` is where the result stands if it was externalised and brought here.
    """

    value: Value
    tasks: Mapping[str, Value] | None = None
    ref: Ref | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """A result that a worker has fetched, and the reference it stood for. Never in an event."""

    value: Value
    ref: Ref


def marked(value: Value) -> Result:
    """A result for a scope, from what an execution keeps of it."""
    match value:
        case Brought(value=inner, ref=ref):
            found = marked(inner)
            return Result(found.value, found.tasks, ref)
        case Piped(value=inner, tasks=tasks):
            return Result(inner, tasks)
        case _:
            return Result(value)


def unmarked(value: Value) -> Value:
    """A result as itself."""
    return value if type(value) not in (Piped, Brought) else marked(value).value


@dataclass(frozen=True, slots=True)
class Envelope:
    """Marks an envelope in a scope: `{status, data, response, error, http, ref, meta}`, lenient like a result."""

    fields: Mapping[str, Value]


def decimal_number(value: Decimal) -> int | float | str:
    """How JSON has a decimal: as a number where that is exact, else as its text."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value) if abs(value) < 2**53 else str(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)
