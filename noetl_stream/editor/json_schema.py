"""The JSON Schema of documents, for editors: generated from the tables that the compiler checks against."""

from __future__ import annotations

import json
from collections.abc import Mapping

from noetl_stream.dsl import spellings
from noetl_stream.dsl.document import PLAYBOOK, SUBSCRIPTION, WORKBOOK
from noetl_stream.dsl.loops import KINDS
from noetl_stream.dsl.schema import CURSOR, LOOP, STEP
from noetl_stream.dsl.shapes import Keys
from noetl_stream.editor.json_shapes import Schema, add_older, described, of_keys, shared
from noetl_stream.editor.json_tools import required_keys, task_schemas
from noetl_stream.ports.tools import Kind

DRAFT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "https://noetl.io/schemas/noetl-stream/playbook.schema.json"


def playbook_schema(kinds: Mapping[str, Kind]) -> Schema:
    """The schema of any document, with the tools that can run here."""
    return {
        "$schema": DRAFT,
        "$id": IDENTITY,
        "title": "A NoETL playbook or subscription",
        "type": "object",
        "if": {"properties": {"kind": {"const": "Subscription"}}, "required": ["kind"]},
        "then": {"$ref": "#/$defs/subscription"},
        "else": {"$ref": "#/$defs/playbook"},
        "$defs": {
            "playbook": _playbook(),
            "subscription": of_keys(SUBSCRIPTION, ()),
            "step": _step(kinds),
            **shared(),
            **task_schemas(kinds),
        },
    }


def schema_text(kinds: Mapping[str, Kind]) -> str:
    """The schema as it is released."""
    return json.dumps(playbook_schema(kinds), ensure_ascii=False, indent=1) + "\n"


def _playbook() -> Schema:
    assert isinstance(WORKBOOK.of, Keys)
    entry = of_keys(WORKBOOK.of, ("workbook",), {"tool": {"$ref": "#/$defs/tool"}})
    return of_keys(
        PLAYBOOK,
        (),
        {
            "workflow": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
            "workbook": {"type": "array", "items": entry},
        },
    )


def _step(kinds: Mapping[str, Kind]) -> Schema:
    """A step. What its tool needs, an entry of the workbook may leave out."""
    needs = list(required_keys(kinds))
    tool = {
        "$ref": "#/$defs/tool",
        "allOf": [*needs, {"if": {"type": "array"}, "then": {"items": {"allOf": needs}}}],
    }
    cursor = of_keys(CURSOR, ("workflow", "loop", "cursor"))
    loop = of_keys(LOOP, ("workflow", "loop"), {"cursor": cursor})
    ways: list[Schema] = [{"required": [key]} for key in KINDS]
    found = of_keys(
        Keys(keys=STEP, required=("step",)), ("workflow",), {"tool": tool, "loop": {**loop, "oneOf": ways}}
    )
    add_older(found["properties"], spellings.STEP)
    return {"description": described({}, ("step",), null=False)["description"], **found}
