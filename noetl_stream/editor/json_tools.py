"""Tasks as JSON Schema: the common keys, and for each kind its own from the model that checks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from noetl_stream.dsl import spellings
from noetl_stream.dsl.kinds import ALIASES, EXTRAS
from noetl_stream.dsl.schema import TASK, TASK_SPEC
from noetl_stream.dsl.shapes import Keys
from noetl_stream.editor.json_shapes import FLAG, NUMBER, TEMPLATE, Schema, add_older, deprecated, of_keys
from noetl_stream.editor.kind_keys import summary_of
from noetl_stream.ports.tools import Kind

_TASK = Keys(keys={"workbook": TASK["name"], **TASK}, required=("kind",))


def task_schemas(kinds: Mapping[str, Kind]) -> dict[str, Schema]:
    """`$defs`: `tool` (one task, or a list), `task`, `listed_task`, and `task_<kind>` for each kind with a model."""
    known = dict.fromkeys([*EXTRAS, *kinds])
    modelled = {name: kind for name, kind in kinds.items() if kind.config is not None}
    found: dict[str, Schema] = {"task": _task(known, modelled), "listed_task": _listed(), "tool": _tool()}
    for name, kind in modelled.items():
        own, below = _own(kind)
        found[f"task_{name}"] = _with_keys(kind, own)
        found |= below
    found["task_other"] = {**_common(), "additionalProperties": True}
    return found


def required_keys(kinds: Mapping[str, Kind]) -> Iterator[Schema]:
    """What a step's own tool needs for its kind, which an entry of the workbook may leave to its callers."""
    for name, kind in kinds.items():
        model = kind.config
        needed = [key for key, each in model.model_fields.items() if each.is_required()] if model else []
        for key in needed:
            names = [key, *(old for old, new in kind.aliases.items() if new == key)]
            ways: list[Schema] = [{"required": [each]} for each in names]
            ways += [{"required": ["spec"], "properties": {"spec": {"required": [each]}}} for each in names]
            yield {"if": _is_kind(name), "then": {"anyOf": ways}}


def _tool() -> Schema:
    ref = {"$ref": "#/$defs/task"}
    return {
        "if": {"type": "array"},
        "then": {"type": "array", "items": {"$ref": "#/$defs/listed_task"}},
        "else": ref,
    }


def _listed() -> Schema:
    """A task of a list: with a `kind`, as `workbook: name`, or as `label: {kind, …}`."""
    labelled = {
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": {"$ref": "#/$defs/task"},
        "description": "A task by its label: `- label: {kind: …}`.",
    }
    called = {**_common(), "required": ["workbook"], "additionalProperties": True}
    return {
        "type": "object",
        "if": {"required": ["kind"]},
        "then": {"$ref": "#/$defs/task"},
        "else": {"if": {"required": ["workbook"]}, "then": called, "else": labelled},
    }


def _task(known: Mapping[str, Any], modelled: Mapping[str, Kind]) -> Schema:
    kinds: list[Schema] = [
        {"const": name, "description": summary_of(name, modelled.get(name))} for name in known
    ]
    kinds += [deprecated({"const": old}, new) for old, new in ALIASES.items()]
    return {
        "type": "object",
        "properties": {"kind": {"description": "Which tool runs.", "oneOf": kinds}},
        "required": ["kind"],
        "allOf": [
            *({"if": _is_kind(name), "then": {"$ref": f"#/$defs/task_{name}"}} for name in modelled),
            {
                "if": {"properties": {"kind": {"enum": list(modelled)}}},
                "else": {"$ref": "#/$defs/task_other"},
            },
        ],
    }


def _is_kind(name: str) -> Schema:
    return {"required": ["kind"], "properties": {"kind": {"const": name}}}


def _common() -> Schema:
    found = of_keys(_TASK, ("tool",))
    found["properties"]["spec"] |= {"anyOf": [_spec({}), {"type": "null"}]}
    del found["properties"]["kind"], found["required"]
    add_older(found["properties"], spellings.TASK)
    return found


def _spec(own: Mapping[str, Schema], closed: bool = False) -> Schema:
    found = of_keys(Keys(keys=TASK_SPEC), ("tool", "spec"))
    add_older(found["properties"], spellings.SPEC)
    found["properties"] = {**own, **found["properties"]}
    return {**found, "additionalProperties": not closed}


def _shared(common: Mapping[str, Schema]) -> dict[str, Schema]:
    """The common keys, defined once."""
    return {
        key: {
            **{word: each[word] for word in ("description", "deprecated") if word in each},
            "$ref": f"#/$defs/task_other/properties/{key}",
        }
        for key, each in common.items()
    }


def _with_keys(kind: Kind, own: Mapping[str, Schema]) -> Schema:
    """The common keys and the kind's own, which may also stand under `spec`; a common key is never the tool's."""
    found = _common()
    common = set(found["properties"]) - (set(spellings.TASK) & set(own))
    shared = {key: each for key, each in _shared(found["properties"]).items() if key in common}
    assert kind.config is not None
    closed = kind.config.model_config.get("extra") != "allow"
    spec = {**found["properties"]["spec"], "anyOf": [_spec(own, closed), {"type": "null"}]}
    found["properties"] = {"kind": True, **own, **shared, "spec": spec}
    return {"description": summary_of(kind.name, kind), **found, "additionalProperties": not closed}


def _own(kind: Kind) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The kind's own keys, older ones included, and the definitions that they refer to."""
    assert kind.config is not None
    model = kind.config.model_json_schema(ref_template="#/$defs/{model}")
    own = {key: _templated(each) for key, each in model.get("properties", {}).items()}
    for old, new in kind.aliases.items():
        if new in own:
            own[old] = deprecated(own[new], new)
    return own, {name: _loosened(each) for name, each in model.get("$defs", {}).items()}


def _templated(node: Schema) -> Schema:
    """Any value may be a template; numbers and booleans may be text that says them."""
    inner = _loosened(node)
    words: Schema = {key: inner.pop(key) for key in ("description", "default") if key in inner}
    arms = inner["anyOf"] if list(inner) == ["anyOf"] else [inner]
    return {**words, "anyOf": [*arms, TEMPLATE]} if inner else words


def _loosened(node: Schema) -> Schema:
    found = {key: each for key, each in node.items() if key != "title"}
    match found.get("type"):
        case "integer" | "number":
            found |= NUMBER
        case "boolean":
            found |= FLAG
    for key in ("anyOf", "oneOf", "allOf"):
        if key in found:
            found[key] = [_loosened(each) for each in found[key]]
    if "properties" in found:
        found["properties"] = {key: _templated(each) for key, each in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _templated(found[key])
    return found
