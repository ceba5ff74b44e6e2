"""A playbook's text into a plan: read, normalise, check, compile; every problem found is reported at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from noetl_stream.core.plan import Expression, Plan, Step
from noetl_stream.core.values import Value
from noetl_stream.dsl.document import PLAYBOOK
from noetl_stream.dsl.durations import compile_duration
from noetl_stream.dsl.exposing import check_exposed
from noetl_stream.dsl.expressions import as_number, compile_number
from noetl_stream.dsl.inputs import inputs_site
from noetl_stream.dsl.keychain import compile_keychain, warn_unused
from noetl_stream.dsl.normalise import normalise
from noetl_stream.dsl.parts import parts_of_steps
from noetl_stream.dsl.payload_schema import asking_of_payload
from noetl_stream.dsl.pending import DOCUMENT, warn_pending
from noetl_stream.dsl.report import Report, Site, suggest
from noetl_stream.dsl.request_policy import compile_policy
from noetl_stream.dsl.requirements import check_required
from noetl_stream.dsl.result_schema import KEY as PROMISE
from noetl_stream.dsl.result_schema import asking, with_promise
from noetl_stream.dsl.source import Node, load
from noetl_stream.dsl.steps import compile_step
from noetl_stream.dsl.workbook import check_entries
from noetl_stream.dsl.workload import compile_workload
from noetl_stream.dsl.world import World, step_name, world_of
from noetl_stream.errors import Problem
from noetl_stream.ports.tools import Kind

ON_FAILURE = "on_failure"
"""The step that stands for a playbook that failures start."""
KEPT = ("policy", "executor", "spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A plan, what its author should know, and the blocks that others act on, as written (`policy`, `executor`, `spec`)."""

    plan: Plan
    warnings: tuple[Problem, ...] = ()
    kept: Mapping[str, Value] = field(default_factory=dict)


def digest_of(text: str) -> str:
    """What pins a playbook's text: SHA-256 of its bytes in UTF-8, with \\n line ends, in hex."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def compile_playbook(
    text: str,
    *,
    file: str,
    kinds: Mapping[str, Kind],
    version: int = 1,
    digest: str | None = None,
    catalog_offset: int = 0,
    pools: Iterable[str] | None = None,
) -> Compiled:
    """Compile a document. Raises InvalidPlaybook with every error, each with file, line and column.

    `kinds` are the tool kinds that can run here, by name; a known one that is missing is a warning.
    `pools` are the worker pools that exist; None does not check them.
    """
    report = Report()
    document = normalise(load(text, file), report)
    _check_document(document, report)
    document = with_promise(_with_rescue(document))
    world = world_of(document, report, kinds, None if pools is None else frozenset(pools))
    world = replace(world, keychain=compile_keychain(world))
    workload = asking_of_payload(compile_workload(document.get("workload"), report), document, report)
    steps = _all_steps(world)
    entry = _entry(world, steps)
    final, rescue = _named_step(("executor", "spec", "final_step"), world, steps), _rescue(world, steps)
    _warn_unreached({entry, rescue or entry, PROMISE}, steps, world)
    warn_unused(document, report)
    check_required(document, world.kinds, report)
    policy, deadline = compile_policy(document, report), _deadline(document, report)
    max_payload = _max_payload(document, report)
    report.raise_errors()
    plan = Plan(
        path=catalog_path(document),
        version=version,
        digest=digest or digest_of(text),
        catalog_offset=catalog_offset,
        entry=entry,
        steps=steps,
        workload=workload,
        deadline=deadline,
        max_payload=max_payload,
        policy=policy,
        keychain=world.keychain,
        final=final,
        on_failure=rescue,
        promise=PROMISE if PROMISE in steps else None,
        metadata=_metadata(document),
    )
    kept = {key: node.plain() for key in KEPT if (node := document.get(key))}
    return Compiled(plan=plan, warnings=tuple(report.warnings), kept=kept)


def _check_document(document: Node, report: Report) -> None:
    kind = document.get("kind")
    if kind is not None and kind.text == "Subscription":
        report.error(
            "this is a subscription, which is not run itself: it starts a playbook for what it reads",
            kind.place,
            "store it with `noetl-stream register FILE`, and run the playbook of its `dispatch`",
        )
        report.raise_errors()
    site = Site(report=report, subject="the playbook")
    PLAYBOOK.check(document, site)
    check_named(document, site)
    check_exposed(document, site)
    check_entries(document, report)
    warn_pending(document, DOCUMENT, site)


def check_named(document: Node, site: Site) -> None:
    """A document's name and path are more than blanks."""
    for key in ("name", "path"):
        found = document.get("metadata", key)
        if found is not None and not str(found.value).strip():
            what = f"key 'metadata.{key}' of {site.subject} is empty"
            site.report.error(what, found.place, f"name {site.subject}")


def _all_steps(world: World) -> dict[str, Step]:
    steps = _with_parts(_steps(world), world)
    return {name: step if name != PROMISE else asking(step, world) for name, step in steps.items()}


def _steps(world: World) -> dict[str, Step]:
    workflow = world.document.get("workflow")
    steps: dict[str, Step] = {}
    if workflow is not None and not workflow.items:
        world.report.error("`workflow` has no steps", workflow.place, "write `- step: start`")
    for index, node in enumerate(workflow.items if workflow else ()):
        name = step_name(node)
        if name is None:
            world.report.error("a step is a mapping with a key 'step'", node.place)
        elif name in steps:
            world.report.error(
                f"there are two steps named '{name}'", node.mapping["step"].place, "rename one of them"
            )
        else:
            steps[name] = compile_step(name, index, node, world)
    return steps


def _with_parts(steps: Mapping[str, Step], world: World) -> dict[str, Step]:
    parts = parts_of_steps(world.decided, {name: step.arcs for name, step in steps.items()})
    return {name: replace(step, parts=parts.get(name, frozenset())) for name, step in steps.items()}


def _entry(world: World, steps: Mapping[str, Step]) -> str:
    named = _named_step(("executor", "spec", "entry_step"), world, steps)
    if named is not None:
        return named
    return "start" if "start" in steps else next(iter(steps), "")


def _named_step(path: tuple[str, ...], world: World, steps: Mapping[str, Step]) -> str | None:
    """The step that a key of the document names."""
    named = world.document.get(*path)
    if named is None:
        return None
    if str(named.value) not in steps:
        hint = suggest(str(named.value), steps)
        world.report.error(f"`{path[-1]}` is '{named.value}', which is no step", named.place, hint)
    return str(named.value)


def _rescue(world: World, steps: Mapping[str, Step]) -> str | None:
    """The step that a failing execution runs: its own, or the one that stands for a playbook."""
    step, playbook = (world.document.get("policy", "on_failure", key) for key in ("step", "playbook"))
    if step is not None and playbook is not None:
        world.report.error(
            "`on_failure` names a step or a playbook, not both", playbook.place, "keep one of them"
        )
    if step is None and playbook is not None:
        return ON_FAILURE
    return _named_step(("policy", "on_failure", "step"), world, steps)


def _with_rescue(document: Node) -> Node:
    """A playbook named for failures is a last step that starts it and does not wait."""
    called, workflow = document.get("policy", "on_failure", "playbook"), document.get("workflow")
    if called is None or workflow is None:
        return document

    def node(value: Any) -> Node:
        match value:
            case dict():
                return Node({key: node(each) for key, each in value.items()}, called.place)
            case _:
                return Node(value, called.place)

    told = {"execution_id": "{{ execution_id }}", "playbook": "{{ path }}", "error": "{{ error }}"}
    tool = {"kind": "playbook", "path": called.value, "wait": False, "input": told}
    step = node({"step": ON_FAILURE, "tool": tool})
    return document.with_entries(
        {**document.mapping, "workflow": Node([*workflow.items, step], workflow.place)}
    )


def _warn_unreached(entries: set[str], steps: Mapping[str, Step], world: World) -> None:
    reached, ahead = set(entries), sorted(entries)
    while ahead:
        step = steps.get(ahead.pop())
        targets = {arc.target for arc in step.arcs} - reached if step else set()
        reached |= targets
        ahead += sorted(targets)
    workflow = world.document.get("workflow")
    for node in workflow.items if workflow else ():
        name = step_name(node)
        if name in steps and name not in reached:
            world.report.warn(
                f"step '{name}' is never reached", node.mapping["step"].place, "lead an arc to it"
            )


def catalog_path(document: Node) -> str:
    """By which path the catalog knows a document: its own, else its name."""
    metadata = document.mapping["metadata"]
    return str((metadata.get("path") or metadata.mapping["name"]).value).strip()


def _metadata(document: Node) -> Mapping[str, Value]:
    """The document's `metadata`, and beside it its free `spec`, which templates read."""
    spec = document.get("spec")
    metadata: dict[str, Value] = document.mapping["metadata"].plain()
    return {**metadata, "spec": spec.plain()} if spec else metadata


def _deadline(document: Node, report: Report) -> float | Expression | None:
    node, site = document.get("policy", "deadline"), inputs_site(document, report, "the playbook")
    return None if node is None else compile_duration(node, site.at("policy.deadline"))


def _max_payload(document: Node, report: Report) -> float | Expression | None:
    """Bytes of JSON that a request may bring; an expression where the author wrote a template."""
    path = ("executor", "spec", "policy", "limits", "max_payload_bytes")
    node, site = document.get(*path), inputs_site(document, report, "the playbook").at(".".join(path))
    if node is None:
        return None
    number = as_number(node.value)
    return compile_number(node, site) if number is None else number
