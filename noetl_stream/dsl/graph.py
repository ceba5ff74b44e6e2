"""A plan as a Mermaid flowchart: steps, arcs with their conditions, joins, loops, and error arcs dashed."""

from __future__ import annotations

from collections.abc import Iterator

from noetl_stream.core.plan import Arc, Plan, Step
from noetl_stream.dsl.expressions import shortened

LABEL = 40
"""Characters of a condition that are shown."""


def mermaid(plan: Plan) -> str:
    """The flowchart's text. Node ids are positions, so that any step name is safe."""
    steps = plan.steps.values()
    lines = [
        "flowchart TD",
        *(f"    {_id(step)}{_shape(step, plan)}" for step in steps),
        *(f"    {line}" for step in steps for line in _arcs(step, plan)),
        f"    entry(( )) --> {_id(plan.steps[plan.entry])}",
    ]
    return "\n".join(lines) + "\n"


def _id(step: Step) -> str:
    return f"s{step.index}"


def _shape(step: Step, plan: Plan) -> str:
    label = _escaped(" · ".join([step.name, *_notes(step, plan)]))
    if step.tool is None:
        return '{"' + label + '"}'
    return f'[["{label}"]]' if step.loop else f'["{label}"]'


def _notes(step: Step, plan: Plan) -> Iterator[str]:
    if step.tool is not None:
        kinds = [task.kind for task in step.tool.tasks]
        yield " → ".join(kinds[:4]) + (" → …" if len(kinds) > 4 else "")
    if step.loop is not None:
        yield f"each {step.loop.iterator}{', parallel' if step.loop.parallel else ''}"
    if len(plan.upstream[step.name]) > 1:
        yield f"join {step.join}"


def _arcs(step: Step, plan: Plan) -> Iterator[str]:
    for arc in step.arcs:
        label = _label(arc)
        line = "-.->" if arc.on == "error" else "-->"
        shown = f'|"{label}"|' if label else ""
        yield f"{_id(step)} {line}{shown} {_id(plan.steps[arc.target])}"


def _label(arc: Arc) -> str:
    parts = (["on error"] if arc.on else []) + ([_condition(arc.when.text)] if arc.when else [])
    return _escaped(", ".join(parts))


def _condition(text: str) -> str:
    inner = text.strip()
    if inner.startswith("{{") and inner.endswith("}}"):
        inner = inner[2:-2]
    return shortened(inner, LABEL)


def _escaped(text: str) -> str:
    """Mermaid's own entities, which are HTML's with `#` in place of `&`."""
    for mark, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(mark, entity)
    return text
