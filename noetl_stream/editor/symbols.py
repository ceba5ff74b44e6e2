"""A document's steps as an editor's outline, with their tasks below."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.marks import Span, composed
from noetl_stream.editor.positions import Positions


def symbols(text: str, positions: Positions) -> list[types.DocumentSymbol]:
    """One symbol for each step; none in a text that is no YAML."""
    root = composed(text)
    workflow = _value(root, "workflow") if root else None
    steps = workflow.value if isinstance(workflow, SequenceNode) else []
    return [symbol for step in steps if (symbol := _step(step, text, positions))]


def _step(step: YamlNode, text: str, positions: Positions) -> types.DocumentSymbol | None:
    name, tool = _value(step, "step"), _value(step, "tool")
    if not isinstance(name, ScalarNode):
        return None
    listed = tool.value if isinstance(tool, SequenceNode) else []
    tasks = [task for each in listed for task in _task(each, text, positions)]
    kind = _value(tool, "kind") if tool else None
    return types.DocumentSymbol(
        name=str(name.value) or "?",
        detail=str(kind.value) if kind else None,
        kind=types.SymbolKind.Function if tool else types.SymbolKind.Event,
        range=positions.range(_whole(step, text)),
        selection_range=positions.range(Span(name.start_mark.index, name.end_mark.index)),
        children=tasks,
    )


def _task(task: YamlNode, text: str, positions: Positions) -> Iterator[types.DocumentSymbol]:
    name, kind = _value(task, "name") or _label(task), _value(task, "kind")
    if name is None or not str(name.value):
        return
    yield types.DocumentSymbol(
        name=str(name.value),
        detail=str(kind.value) if kind else None,
        kind=types.SymbolKind.Method,
        range=positions.range(_whole(task, text)),
        selection_range=positions.range(Span(name.start_mark.index, name.end_mark.index)),
    )


def _label(task: YamlNode) -> YamlNode | None:
    keys = [key for key, _ in task.value] if isinstance(task, MappingNode) else []
    return keys[0] if len(keys) == 1 else None


def _whole(node: YamlNode, text: str) -> Span:
    """The node without the blank lines behind it."""
    start, end = node.start_mark.index, node.end_mark.index
    return Span(start, start + len(text[start:end].rstrip()))


def _value(node: YamlNode | None, key: str) -> YamlNode | None:
    pairs = node.value if isinstance(node, MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)
