"""What the JSON Schema says of a place in a document: one description for completion, hover and other editors alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem

from noetl_stream.editor.cursor import ITEM, Path
from noetl_stream.editor.json_shapes import Schema

Known = Mapping[Path, Mapping[str, str]]


def schemas_at(schema: Schema, path: Path, known: Known) -> list[Schema]:
    """All parts of the schema that hold for what stands at a path. `known` are scalars beside the path."""
    here = [schema]
    for depth in range(len(path) + 1):
        ahead = path[depth] if depth < len(path) else None
        values = known.get(path[:depth], {})
        here = [each for node in here for each in _expanded(node, schema, values, ahead)]
        if ahead is None:
            return here
        here = [each for node in here if (each := _below(node, ahead)) is not None]
    return here


def keys_of(schemas: list[Schema]) -> dict[str, Schema]:
    """Every key that may stand there. Of two descriptions the one that says something counts."""
    found: dict[str, Schema] = {}
    for node in schemas:
        for key, each in node.get("properties", {}).items():
            if isinstance(each, dict) and ("description" in each or key not in found):
                found.setdefault(key, each)
    return found


def words_at(schemas: list[Schema]) -> dict[str, str | None]:
    """The words that may stand there, with what they mean; no older ones."""
    found: dict[str, str | None] = {}
    for node in schemas:
        if "deprecated" in node:
            continue
        for word in node.get("enum", [node["const"]] if "const" in node else []):
            if isinstance(word, str):
                found.setdefault(word, node.get("description"))
        if "boolean" in node.get("type", ()) and "number" not in node["type"]:
            found |= {"true": None, "false": None}
    return found


def _below(node: Schema, element: str) -> Schema | None:
    if element == ITEM:
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(element, node.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _expanded(node: Schema, root: Schema, values: Mapping[str, str], ahead: str | None) -> Iterator[Schema]:
    """The node and all that it refers to or is made of, as far as that can hold here; `ahead` is what the path goes on with."""
    yield node
    parts = [node[key] for key in ("then", "else") if key in node and "if" not in node]
    for key in ("anyOf", "oneOf", "allOf"):
        parts += node.get(key, [])
    if "$ref" in node:
        parts.append(reduce(getitem, node["$ref"].split("/")[1:], root))
    if "if" in node:
        holds = _holds(node["if"], values, ahead)
        parts += [node[way] for way in (("then",) if holds else ("else",)) if way in node]
    for part in parts:
        yield from _expanded(part, root, values, ahead)


def _holds(condition: Schema, values: Mapping[str, str], ahead: str | None) -> bool:
    if condition.get("type") == "array":
        return ahead == ITEM
    if not all(key in values for key in condition.get("required", ())):
        # Nothing is written yet: it will most probably be a task with a `kind`.
        return condition == {"required": ["kind"]} and not values and ahead is None
    words = {
        key: each.get("enum", [each.get("const")]) for key, each in condition.get("properties", {}).items()
    }
    return all(values.get(key) in allowed for key, allowed in words.items())
