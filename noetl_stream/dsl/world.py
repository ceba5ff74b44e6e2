"""What every part of a document is compiled against: its names, its kinds, its outer layers, and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from noetl_stream.core.credentials import Credential
from noetl_stream.core.names import KEYCHAIN, LAST, UNSHADOWABLE, VARIABLES
from noetl_stream.core.plan import Expression
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.workbook import entries_of
from noetl_stream.dsl.writes import written_names
from noetl_stream.ports.tools import Kind

SECRET: Final[Mapping[str, tuple[str, str]]] = {
    KEYCHAIN: ("is known inside a block only", "read it in the tool")
}
"""Names that only a worker knows, while a block runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An expression that `decide` evaluates, and where: `before` its step runs, or after."""

    step: str
    expression: Expression
    before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One document being compiled. `decided` gathers what the orchestrator will evaluate."""

    document: Node
    report: Report
    kinds: Mapping[str, Kind]
    book: Mapping[str, Node]
    steps: tuple[str, ...]
    names: frozenset[str]
    pools: frozenset[str] | None = None
    decided: list[Decided] = field(default_factory=list)
    keychain: Mapping[str, Credential] = field(default_factory=dict)

    @property
    def spec(self) -> Node | None:
        """The outermost layer of every `spec`."""
        return self.document.get("executor", "spec")

    def site(self, step: str, names: Iterable[str] = ()) -> Site:
        """Where a block of this step evaluates."""
        return Site(
            report=self.report,
            subject=f"step '{step}'",
            known=self.names | frozenset(names),
            aliases=frozenset(self.keychain),
        )

    def deciding(self, step: str) -> Site:
        """Where the orchestrator evaluates: no secret is known there."""
        return replace(self.site(step), hidden=SECRET)

    def decide(self, step: str, expression: Expression, *, before: bool = False) -> Expression:
        """The expression, remembered as one that `decide` evaluates."""
        self.decided.append(Decided(step=step, expression=expression, before=before))
        return expression


def world_of(
    document: Node, report: Report, kinds: Mapping[str, Kind], pools: frozenset[str] | None = None
) -> World:
    """Everything that can be known before a step is compiled."""
    workflow = document.get("workflow")
    steps = tuple(name for step in (workflow.items if workflow else []) if (name := step_name(step)))
    workload = document.get("workload")
    return World(
        document=document,
        report=report,
        kinds=kinds,
        pools=pools,
        book=entries_of(document),
        steps=steps,
        names=frozenset(
            {
                *UNSHADOWABLE,
                *LAST,
                *VARIABLES,
                *steps,
                *(workload.mapping if workload else ()),
                *written_names(document, "ctx"),
            }
        ),
    )


def step_name(step: Node) -> str | None:
    name = step.get("step")
    return str(name.value) if name is not None and not (name.is_mapping or name.is_list) else None
