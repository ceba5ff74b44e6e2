"""A playbook compiled: what `decide` needs of it, as values and callables. Built by `dsl`, read by everyone.

Expressions arrive compiled. They are pure: the same scope yields the same value, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from noetl_stream.core.credentials import Credential
from noetl_stream.core.policy import Policy
from noetl_stream.core.values import Value

Scope: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str, ...]
"""A constant look-up from a root name: `load.rows[0]` is ("load", "rows", "0"); ("*",) reads everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled template. `evaluate` raises ExpressionError, or NeedsPayload if a reference hides what it reads.

    `passes` are those of the paths it reads whose values it hands on whole, references included.
    """

    evaluate: Callable[[Scope], Value]
    reads: frozenset[Path] = frozenset()
    passes: frozenset[Path] = frozenset()
    text: str = ""


Count: TypeAlias = int | Expression
"""A whole number from 1; an expression over the inputs is settled by `counts.count_of`."""
Flag: TypeAlias = bool | Expression
"""A boolean, or an expression that yields one where the author wrote a template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arc:
    """One way out of a step. `on` restricts it to failures; `writes` yields {"ctx.name": value}; `args` join the input."""

    target: str
    when: Expression | None = None
    on: Literal["error"] | None = None
    reads_event: bool = False
    writes: Expression | None = None
    args: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """How a step repeats: over `items`, `while_` a condition holds, or as long as a `cursor` claims rows.

    `items` yields a list, an integer n for 0..n-1, or a table, at hand or referenced; the language has turned all else
    into one of these, or raises ExpressionError. It is cut into slices of `rows` where that is given. `limit`
    bounds the iterations in flight; `bound` yields it where the author wrote a template, and is evaluated once, when
    the step is entered. `cursor` belongs to the worker, as a step's `tool` does; `claims` are the names it is sent;
    `frame` yields what else bounds a claim (`max_bytes`, `max_seconds`, …), from the inputs. Up to `bundle` iterations
    travel together, `row_concurrency` of them run at once.
    """

    iterator: str
    items: Expression | None = None
    while_: Expression | None = None
    cursor: Any = None
    claims: frozenset[Path] = frozenset()
    frame: Mapping[str, Expression] = field(default_factory=dict)
    rows: Count | None = None
    frame_rows: Count = 1
    whole_frames: bool = False
    row_concurrency: Count = 1
    bundle: Count = 1
    limit: int = 16
    bound: Expression | None = None
    parallel: bool = False
    on_error: Literal["fail", "continue"] = "fail"

    @property
    def sizes(self) -> tuple[Expression, ...]:
        """Those of its counts that the inputs settle."""
        counts = (self.rows, self.frame_rows, self.row_concurrency, self.bundle)
        return tuple(count for count in counts if isinstance(count, Expression))

    @property
    def grows(self) -> bool:
        """Whether its length is unknown until it ends."""
        return self.while_ is not None or self.cursor is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A node of the plan. `index` is its position in the document: an arc to an equal or earlier one goes back.

    `tool` belongs to the worker (dsl.tasks.Pipeline); None makes a router, decided without a block. `reads` are
    the names its block is sent; `parts` the paths of its own result that expressions in `decide` will read. `strict`
    yields whether no match fails, where the author wrote a template; a quorum may be one over the inputs.
    """

    name: str
    index: int
    tool: Any = None
    input: Expression | None = None
    loop: Loop | None = None
    admit: Expression | None = None
    writes: Expression | None = None
    arcs: tuple[Arc, ...] = ()
    inclusive: bool = False
    on_no_match: Literal["complete", "quiet", "fail"] = "complete"
    strict: Expression | None = None
    join: Literal["all", "any"] | Count = "all"
    pool: str = "default"
    priority: str | None = None
    reads: frozenset[Path] = frozenset()
    parts: frozenset[Path] = frozenset()

    def work(self, iteration: int) -> Any:
        """The pipeline that a block runs: the loop's cursor for a probe, else the step's tool."""
        return self.tool if iteration >= 0 or self.loop is None else self.loop.cursor

    @property
    def loop_condition(self) -> Expression | None:
        """What must hold for its loop to go on."""
        return None if self.loop is None else self.loop.while_

    def reads_to_enter(self) -> frozenset[Path]:
        """What its admission, and its loop's bound and collection read."""
        loop = self.loop
        return _reads(self.admit, *((loop.bound, loop.items, *loop.sizes) if loop is not None else ()))

    def reads_to_grow(self) -> frozenset[Path]:
        """What its loop reads to find out whether there is more."""
        return frozenset[Path]() if self.loop is None else self.loop.claims | _reads(self.loop.while_)

    def reads_to_leave(self) -> frozenset[Path]:
        """What its `set` and its arcs read."""
        return self._read_at_end() | _reads(self.input if self.leaves_by_input else None)

    @property
    def leaves_by_input(self) -> bool:
        """Whether its `set` or its arcs read the inputs that it had. Those of a loop are its iterations' own."""
        return self.loop is None and any(path[0] == "input" for path in self._read_at_end())

    def _read_at_end(self) -> frozenset[Path]:
        ways = (e for arc in self.arcs for e in (arc.when, arc.writes, arc.args))
        return _reads(self.writes, self.strict, *ways)


def _reads(*sites: Expression | None) -> frozenset[Path]:
    return frozenset[Path]().union(*(site.reads for site in sites if site is not None))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole playbook, pinned: (path, version, digest) name it for ever; `workload` yields an execution's inputs.

    `environment` are the variables that templates may read as `env`. `deadline` is in seconds from the request on,
    `max_payload` in bytes of JSON; either may be an expression over the inputs. `final` is the step whose result is the
    execution's; a failing execution runs the step `on_failure` before it ends, one that goes well the step `promise`, which
    holds its result to what the playbook promises. `keychain` are the declared credentials.
    """

    path: str
    version: int
    digest: str
    catalog_offset: int = 0
    entry: str
    steps: Mapping[str, Step]
    workload: Expression
    deadline: float | Expression | None = None
    max_payload: float | Expression | None = None
    policy: Policy = field(default_factory=Policy)
    keychain: Mapping[str, Credential] = field(default_factory=dict)
    final: str | None = None
    on_failure: str | None = None
    promise: str | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def ahead(self) -> Mapping[str, frozenset[str]]:
        """For each step, the steps that forward arcs can reach from it (itself not included)."""
        found: dict[str, frozenset[str]] = {}
        for step in sorted(self.steps.values(), key=lambda s: -s.index):
            targets = self._forward(step)
            found[step.name] = targets.union(*(found[t] for t in targets))
        return found

    @cached_property
    def upstream(self) -> Mapping[str, frozenset[str]]:
        """For each step, the distinct earlier steps with an arc to it; two or more make it a join."""
        found: dict[str, set[str]] = {name: set() for name in self.steps}
        for step in self.steps.values():
            for target in self._forward(step):
                found[target].add(step.name)
        return {name: frozenset(sources) for name, sources in found.items()}

    def _forward(self, step: Step) -> frozenset[str]:
        return frozenset(a.target for a in step.arcs if self.steps[a.target].index > step.index)
