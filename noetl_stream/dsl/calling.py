"""Which other playbooks a document starts, as far as it names them: only a catalog knows whether they are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from noetl_stream.dsl.report import Report, suggest
from noetl_stream.dsl.source import Node, load, walk
from noetl_stream.dsl.templates import has_template
from noetl_stream.errors import Problem


def missing_children(text: str, file: str, known: Collection[str]) -> tuple[Problem, ...]:
    """A warning for each child that is not among the `known` paths. A path that a template makes is left to the run."""
    report = Report()
    for path in _children(load(text, file)):
        name = str(path.value).strip()
        if name not in known and not has_template(name):
            hint = suggest(name, known) or "register it with `noetl-stream register FILE`"
            report.warn(f"the playbook '{name}' that it starts is not in the catalog", path.place, hint)
    return tuple(report.warnings)


def _children(document: Node) -> Iterator[Node]:
    blocks = (found for key in ("workbook", "workflow") if (found := document.get(key)) is not None)
    for node in (each for block in blocks for each in walk(block)):
        kind, path = node.get("kind"), node.get("path")
        if kind is not None and kind.value == "playbook" and path is not None:
            yield path
    for key in (("policy", "on_failure", "playbook"), ("spec", "dispatch", "playbook")):
        if (named := document.get(*key)) is not None:
            yield named
