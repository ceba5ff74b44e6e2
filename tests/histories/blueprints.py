"""Plans from plain callables, so that the core is tested without the language that compiles to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from noetl_stream.core.plan import Arc, Expression, Loop, Plan, Scope, Step
from noetl_stream.core.values import Result, Value
from noetl_stream.errors import ExpressionError

Formula: TypeAlias = Callable[[Scope], Value]

EVERYTHING = frozenset({("*",)})


def expression(formula: Formula, *reads: str) -> Expression:
    """A compiled template; it sees every name unless told which roots it reads."""
    return Expression(evaluate=formula, reads=frozenset((name,) for name in reads) or EVERYTHING)


def constant(value: Value) -> Expression:
    return Expression(evaluate=lambda scope: value)


def seen(value: Any) -> Value:
    """A name's plain value: the mark of a result removed."""
    return value.value if isinstance(value, Result) else value


def arc(
    target: str,
    when: Formula | None = None,
    *,
    on: Literal["error"] | None = None,
    reads_event: bool = False,
    writes: Formula | None = None,
    args: Formula | None = None,
) -> Arc:
    return Arc(
        target=target,
        when=None if when is None else expression(when),
        on=on,
        reads_event=reads_event,
        writes=None if writes is None else expression(writes),
        args=None if args is None else expression(args),
    )


def step(name: str, *arcs: Arc | str, **more: Any) -> Callable[[int], Step]:
    """A step with a tool, to be numbered by its place in `plan`; an arc may be just its target's name."""
    given = {"tool": f"tool of {name}"} | more
    for key in ("admit", "writes"):
        if callable(given.get(key)):
            given[key] = expression(given[key])
    joined = tuple(Arc(target=each) if isinstance(each, str) else each for each in arcs)
    return lambda index: Step(name=name, index=index, arcs=joined, **given)


def router(name: str, *arcs: Arc | str, **more: Any) -> Callable[[int], Step]:
    """A step without a tool."""
    return step(name, *arcs, tool=None, **more)


def _null(scope: Scope) -> Value:
    raise ExpressionError("a loop goes over a list, not null", text="{{ null }}", place="key 'loop.in'")


def loop(items: Value | Formula, *, limit: int = 1, parallel: bool = False, **more: Any) -> Loop:
    """What a loop goes over; nothing at all is an error of its expression, as in a compiled playbook."""
    found = expression(_null) if items is None else expression(items) if callable(items) else constant(items)
    return Loop(items=found, iterator="item", limit=limit, parallel=parallel, **more)


def plan(*steps: Callable[[int], Step], workload: Formula | None = None, **more: Any) -> Plan:
    """A playbook whose entry is its first step; the request's payload is its workload unless told otherwise."""
    numbered = [make(index) for index, make in enumerate(steps)]
    return Plan(
        path="tests/plan",
        version=1,
        digest="d",
        entry=numbered[0].name,
        steps={each.name: each for each in numbered},
        workload=expression(workload or _payload),
        **more,
    )


def _payload(scope: Scope) -> Mapping[str, Value]:
    return scope["payload"] or {}


def chain(*names: str) -> Plan:
    """Steps one after the other."""
    targets = [(after,) for after in names[1:]] + [()]
    return plan(*(step(name, *to) for name, to in zip(names, targets, strict=True)))


def diamond(**join: Any) -> Plan:
    """start goes to left and right, and both to end."""
    return plan(
        step("start", "left", "right", inclusive=True),
        step("left", "end"),
        step("right", "end"),
        step("end", **join),
    )
