"""Shapes of the language as JSON Schema, with the older spellings beside the canonical ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from noetl_stream.dsl import schema, spellings
from noetl_stream.dsl.shapes import Anything, Choice, Either, Flag, Keys, Many, Number, Shape, Templated, Text
from noetl_stream.editor.words import words_of

Schema: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]

TEMPLATE: Schema = {"type": "string", "pattern": r"\{[{%#]"}
NUMBER: Schema = {
    "type": ["number", "string"],
    "pattern": r"^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$|\{[{%#]",
}
FLAG: Schema = {
    "type": ["boolean", "string"],
    "pattern": r"^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]|1|0)$|\{[{%#]",
}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_ADMISSION = schema.ADMIT.keys["rules"].of if isinstance(schema.ADMIT.keys["rules"], Many) else None
_OLDER = (
    (schema.ARC, spellings.ARC),
    (schema.RULE, spellings.RULE),
    (_ADMISSION, spellings.RULE),
    (schema.RETRY.mapping, spellings.RETRY),
    (schema.STEP_SPEC, spellings.SPEC),
    (schema.LOOP_SPEC, spellings.SPEC),
    (schema.SPEC, spellings.SPEC),
)
"""Which mappings have older spellings."""
_NAMED: tuple[tuple[str, Shape], ...] = (
    ("policy", schema.POLICY_OF_SPEC),
    ("rule", schema.RULE),
    ("store", schema.STORE),
    ("retry", schema.RETRY),
    ("frame", schema.FRAME),
    ("join", schema.JOIN),
    ("assert", schema.ASSERT),
)
"""What stands in several places is defined once."""


def shared() -> dict[str, Schema]:
    """`$defs` for what stands in several places."""
    return {name: _of_shape(shape, (name,)) for name, shape in _NAMED}


def of_shape(shape: Shape, path: Path = ()) -> Schema:
    """The schema of a shape that stands under these keys."""
    name = next((name for name, known in _NAMED if known is shape), None)
    return {"$ref": f"#/$defs/{name}"} if name else _of_shape(shape, path)


def _of_shape(shape: Shape, path: Path) -> Schema:
    match shape:
        case Text():
            return dict(SCALAR)
        case Number():
            return dict(NUMBER)
        case Flag():
            return dict(FLAG)
        case Choice(words=words):
            return _words(shape, words)
        case Templated(of=each):
            below = of_shape(each, path)
            return {"anyOf": [*below.get("anyOf", [below]), dict(TEMPLATE)]}
        case Many(of=each):
            return {"type": "array", "items": of_shape(each, path)}
        case Keys():
            return of_keys(shape, path)
        case Either():
            return {"anyOf": list(_arms(shape, path))}
        case Anything():
            return {}
        case _:
            raise TypeError(f"{type(shape).__name__} has no JSON Schema; add one to json_shapes.py")


def of_keys(shape: Keys, path: Path, replaced: Mapping[str, Schema] | None = None) -> Schema:
    """A mapping. `replaced` are schemas for keys whose shape says too little."""
    found: Schema = {"type": "object", "properties": {}}
    for key, each in shape.keys.items():
        below = (replaced or {}).get(key) or of_shape(each, (*path, key))
        found["properties"][key] = described(below, (*path, key), null=key not in shape.required)
    for table in (table for known, table in _OLDER if known is shape):
        add_older(found["properties"], table)
    if shape.required:
        found["required"] = list(shape.required)
    if not shape.open:
        found["additionalProperties"] = False
    return found


def described(below: Schema, path: Path, *, null: bool) -> Schema:
    """A key's schema with what it means. A null stands for a key that is not there."""
    words = words_of(path)
    if null and below:
        below = _or_null(below)
    return {"description": words, **below} if words else below


def add_older(properties: dict[str, Schema], table: Mapping[str, str]) -> None:
    """Older names beside their canonical ones, unless something else has that name."""
    for old, new in table.items():
        if old not in properties and new in properties:
            properties[old] = deprecated(properties[new], new)


def deprecated(below: Schema, new: str) -> Schema:
    return {**below, "deprecated": True, "description": f"Older spelling of `{new}`."}


def _or_null(below: Schema) -> Schema:
    if below == SCALAR:
        return below
    if list(below) == ["anyOf"]:
        return {"anyOf": [*below["anyOf"], *([] if SCALAR in below["anyOf"] else [{"type": "null"}])]}
    return {"anyOf": [below, {"type": "null"}]}


def _words(shape: Choice, words: tuple[str, ...]) -> Schema:
    table = spellings.BACKOFF if shape is schema.BACKOFF else spellings.STORE if "kv" in words else {}
    former = [deprecated({"const": old}, new) for old, new in table.items()]
    return {"anyOf": [{"enum": list(words)}, *former]} if former else {"enum": list(words)}


def _arms(shape: Either, path: Path) -> Iterable[Schema]:
    whole: dict[str, Schema] = {"scalar": SCALAR, "list": {"type": "array"}, "mapping": {"type": "object"}}
    for name, arm in (("scalar", shape.scalar), ("list", shape.list), ("mapping", shape.mapping)):
        if isinstance(arm, Anything):
            yield dict(whole[name])
        elif arm is not None:
            yield of_shape(arm, path)
