"""What a playbook takes and answers, as JSON Schema for those who call it as a tool: declared, or read off its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from noetl_stream.core.values import Value
from noetl_stream.dsl.source import Node, walk
from noetl_stream.dsl.templates import has_template

_SHOWN: Final = 20
"""Values that a default may have to be shown: callers want to know its form, and pay for each word."""


def input_schema(document: Node) -> Mapping[str, Value]:
    """Of the payload: `policy.schema.input`, which it is held to; else what the defaults of `workload` look like."""
    declared = document.get("policy", "schema", "input")
    if declared is not None and declared.mapping:
        return {**declared.plain(), "type": "object"}  # a payload is one, and MCP wants it said
    workload = document.get("workload")
    return _of_mapping(workload.mapping if workload is not None else {})


def answer_schema(document: Node) -> tuple[Mapping[str, Value] | None, bool]:
    """Of the result, None where nothing is promised; and whether it must be wrapped, being no object."""
    declared = document.get("policy", "schema", "output")
    drift = document.written("policy", "schema", "on_drift")
    if declared is None or not declared.mapping or drift == "widen":
        return None, False
    schema = declared.plain()
    if schema.get("type") == "object":
        return schema, False
    # Inside another one its references would lead elsewhere: then nothing is said.
    referring = any("$ref" in each.mapping for each in walk(declared))
    return (None if referring else _wrapping(schema)), True


def _wrapping(schema: Value) -> Mapping[str, Value]:
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


def _of_mapping(entries: Mapping[str, Node]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: _of(node) for name, node in entries.items()}}


def _of(node: Node) -> dict[str, Any]:
    """A template may yield anything, and null stand for anything; a whole number says nothing against a broken one."""
    if node.is_mapping:
        return _of_mapping(node.mapping)
    if node.value is None or _renders(node):
        return {"type": "array"} if node.is_list else {}
    shown = {"default": node.plain()} if sum(1 for _ in walk(node)) <= _SHOWN else {}
    match node.value:
        case list():
            return {"type": "array", **shown}
        case bool():
            return {"type": "boolean", **shown}
        case int() | float():
            return {"type": "number", **shown}
    return {"type": "string", **shown}


def _renders(node: Node) -> bool:
    return any(has_template(each.text or "") for each in walk(node))
