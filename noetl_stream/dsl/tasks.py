"""What a worker needs of a step: its pipeline of tasks, with every template compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from noetl_stream.core.credentials import Grant
from noetl_stream.core.plan import Expression, Loop
from noetl_stream.dsl.contracts import Contract
from noetl_stream.dsl.json_schema import JsonSchema
from noetl_stream.dsl.source import Place
from noetl_stream.dsl.storage import Storage

Action: TypeAlias = Literal["continue", "retry", "jump", "break", "fail"]
Backoff: TypeAlias = Literal["fixed", "linear", "exponential"]
Effects: TypeAlias = Literal["at_least_once", "at_most_once", "exactly_once"]
Drift: TypeAlias = Literal["fail", "quarantine", "widen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to do when `when` holds (always, if None).

    `attempts` yields total tries, `delay` seconds; `to` is a task's name; `writes` yields {"ctx.x" | "iter.x" |
    "step.x" | "name": value}.
    """

    do: Action
    attempts: Expression
    delay: Expression
    when: Expression | None = None
    backoff: Backoff = "fixed"
    to: str | None = None
    writes: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a task cannot run in this version: reaching it fails with this error kind."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One tool of a pipeline. `config` yields its configuration without the common keys.

    `auth` are the credentials that its tool is given, `credentials` the aliases of all that it reads.
    `timeout` yields seconds. `storage` is for its result; `returns` are keys that this must have.
    `repeat` is a loop of its own, run inside the block. `code_below` is where its code's block of text begins.
    """

    name: str
    kind: str
    config: Expression
    place: str
    input: Expression | None = None
    auth: tuple[Grant, ...] = ()
    credentials: frozenset[str] = frozenset()
    writes: Expression | None = None
    rules: tuple[Rule, ...] = ()
    timeout: Expression | None = None
    fault: Fault | None = None
    effects: Effects = "at_least_once"
    storage: Storage | None = None
    returns: tuple[str, ...] = ()
    repeat: Loop | None = None
    code_below: Place | None = None

    def standing(self, line: int | None) -> str:
        """Where a line of its code stands, to be said after what is wrong with it; nothing where it stands nowhere as it runs."""
        if line is None or self.code_below is None:
            return ""
        return f", at {self.code_below.file}:{self.code_below.line + line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the execution's result must look like, and what becomes of one that does not."""

    schema: JsonSchema
    on_drift: Drift = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A step's tasks, run in order as one block. `input` is the step's own, laid under each task's.

    `secret_input` tells that this reads the keychain: it is bound with each task's credentials at hand, not before.
    `single` tells a lone tool from a list of one: only the latter has `.results`. `iterator` is the loop's name
    for its item, `alias` a second one. `storage` is for the step's result, `expect` what that must look like. With a
    `promise` it asks this of the result that led here.
    """

    step: str
    tasks: tuple[Task, ...]
    single: bool
    place: str
    input: Expression | None = None
    secret_input: bool = False
    iterator: str | None = None
    alias: str | None = None
    effects: Effects = "at_least_once"
    storage: Storage | None = None
    expect: Contract | None = None
    promise: Promise | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
