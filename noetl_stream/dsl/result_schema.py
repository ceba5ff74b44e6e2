"""What a playbook's result must look like: `policy.schema.output`, asked by a last step of its own, on a worker.

So `decide` never needs the result itself, however large it is and whoever brought it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from noetl_stream.core.plan import Step
from noetl_stream.dsl.json_schema import compile_schema
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.tasks import Drift, Pipeline, Promise
from noetl_stream.dsl.world import World

KEY: Final = "policy.schema.output"
"""The key, and the name of the step that asks."""


def with_promise(document: Node) -> Node:
    """The document with the step that asks as its last one, if something is asked of its result."""
    asked, workflow = document.get("policy", "schema", "output"), document.get("workflow")
    if asked is None or not asked.mapping or workflow is None or not workflow.items:
        return document
    tool = Node({"kind": Node("noop", asked.place)}, asked.place)
    step = Node({"step": Node(KEY, asked.place), "tool": tool}, asked.place)
    return document.with_entries(
        {**document.mapping, "workflow": Node([*workflow.items, step], workflow.place)}
    )


def asking(step: Step, world: World) -> Step:
    """The last step: it is always admitted, and reads the result that led there."""
    schema = compile_schema(world.document.get("policy", "schema", "output"), KEY, world.report)
    drift = world.document.get("policy", "schema", "on_drift")
    if schema is None or not isinstance(step.tool, Pipeline):
        return step
    promise = Promise(schema=schema, on_drift="fail" if drift is None else cast(Drift, str(drift.value)))
    return replace(step, admit=None, reads=frozenset({("result",)}), tool=replace(step.tool, promise=promise))
