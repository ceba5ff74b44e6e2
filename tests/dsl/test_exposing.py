"""Playbooks as tools for MCP clients: what they are called, what they take and answer, and who is told of what is none."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp_types import CallToolResult, Tool

from noetl_stream.dsl.exposing import Exposed, answer_of, clashes, exposed, failure_of, name_of
from noetl_stream.dsl.source import load
from tests.dsl.kinds import compiled, problems
from tests.playbooks.examples import PLAYBOOKS

FLOW = "workflow: [{step: a, tool: {kind: noop}}]\n"


def headed(metadata: str, rest: str = "") -> str:
    """A whole playbook; the metadata are its third line."""
    return f"apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{{metadata}}}\n{rest}{FLOW}"


def offered(metadata: str, rest: str = "", path: str = "shop/price") -> Exposed:
    found = exposed(load(headed(metadata, rest), "f"), path)
    assert found is not None
    return found


def taken(workload: str) -> Any:
    """What the schema says of the inputs."""
    return offered("name: p, exposes_as_mcp: true", f"workload: {workload}\n").takes["properties"]


@pytest.mark.parametrize(
    "said", ["", ", exposes_as_mcp: false", ", exposes_as_mcp: 'no'", ", exposes_as_mcp: null"]
)
def test_a_playbook_that_does_not_say_so_is_no_tool(said: str) -> None:
    assert exposed(load(headed(f"name: p{said}"), "f"), "p") is None


def test_one_that_only_says_so_is_called_by_its_path_and_described_by_what_it_says_anyway() -> None:
    tool = offered("name: price an order, description: What it costs., exposes_as_mcp: true")

    assert (tool.path, tool.name, tool.title) == ("shop/price", "shop_price", "price an order")
    assert tool.description == "What it costs."
    assert offered("name: price an order, exposes_as_mcp: 'true'").description == "price an order"


def test_what_is_said_for_mcp_goes_before() -> None:
    tool = offered(
        "name: p, description: d, exposes_as_mcp: {name: price, title: A price, description: Asks the shop., audience: all}"
    )

    assert (tool.name, tool.title, tool.description) == ("price", "A price", "Asks the shop.")


def test_a_name_is_what_every_client_takes() -> None:
    assert name_of("sales/orders/daily load") == "sales_orders_daily_load"
    assert name_of("/a//b.c/") == "a_b_c"
    assert name_of("x/" + "y" * 70) == "y" * 64
    assert name_of("цена") == ""


def test_what_it_takes_is_what_its_payload_is_held_to() -> None:
    tool = offered(
        "name: p, exposes_as_mcp: true",
        "workload: {hidden: 1}\npolicy: {schema: {input: {properties: {total: {type: number}}, required: [total]}}}\n",
    )

    assert tool.takes == {
        "type": "object",
        "properties": {"total": {"type": "number"}},
        "required": ["total"],
    }


def test_else_its_inputs_look_like_their_defaults() -> None:
    assert taken("{day: monday, rows: 10, share: 0.5, strict: true, tags: [a, b], limits: {rows: 1}}") == {
        "day": {"type": "string", "default": "monday"},
        "rows": {"type": "number", "default": 10},
        "share": {"type": "number", "default": 0.5},
        "strict": {"type": "boolean", "default": True},
        "tags": {"type": "array", "default": ["a", "b"]},
        "limits": {"type": "object", "properties": {"rows": {"type": "number", "default": 1}}},
    }


def test_what_a_template_or_null_stands_for_may_be_anything() -> None:
    workload = "{day: '{{ now() }}', tags: ['{{ day }}'], limits: {rows: '{{ 2 * 3 }}'}, nothing: null}"

    assert taken(workload) == {
        "day": {},
        "tags": {"type": "array"},
        "limits": {"type": "object", "properties": {"rows": {}}},
        "nothing": {},
    }


def test_a_long_default_is_not_shown() -> None:
    assert taken(f"{{days: {[*range(100)]}}}") == {"days": {"type": "array"}}


def test_a_playbook_without_inputs_takes_none() -> None:
    assert offered("name: p, exposes_as_mcp: true").takes == {"type": "object", "properties": {}}


SCHEMAS: dict[str, tuple[str, Any, bool]] = {
    "nothing": ("{}", None, False),
    "an object": ("{output: {type: object, required: [a]}}", {"type": "object", "required": ["a"]}, False),
    "a list": (
        "{output: {type: array}}",
        {"type": "object", "properties": {"result": {"type": "array"}}, "required": ["result"]},
        True,
    ),
    "by reference": ("{output: {$defs: {n: {type: number}}, $ref: '#/$defs/n'}}", None, True),
    "no promise": ("{output: {type: object}, on_drift: widen}", None, False),
}


@pytest.mark.parametrize(("schema", "answers", "wrapped"), SCHEMAS.values(), ids=SCHEMAS)
def test_what_it_answers_is_what_its_result_is_held_to(schema: str, answers: Any, wrapped: bool) -> None:
    tool = offered("name: p, exposes_as_mcp: true", f"policy: {{schema: {schema}}}\n")

    assert (tool.answers, tool.wrapped) == (answers, wrapped)


@pytest.mark.parametrize(
    ("schema", "result", "structure", "text"),
    [
        ("{}", {"a": 1}, {"a": 1}, '{"a":1}'),
        ("{}", "done", {"result": "done"}, "done"),
        ("{}", None, {"result": None}, "null"),
        ("{output: {type: object}}", {"a": [1]}, {"a": [1]}, '{"a":[1]}'),
        ("{output: {type: array}}", [1], {"result": [1]}, "[1]"),
        ("{output: {minProperties: 1}}", {"a": 1}, {"result": {"a": 1}}, '{"a":1}'),
    ],
)
def test_an_answer_fits_what_was_promised_and_reads_as_text_too(
    schema: str, result: Any, structure: Any, text: str
) -> None:
    tool = offered("name: p, exposes_as_mcp: true", f"policy: {{schema: {schema}}}\n")

    answer = CallToolResult.model_validate(answer_of(tool, result))

    assert (answer.structured_content, answer.is_error) == (structure, False)
    assert [part.model_dump()["text"] for part in answer.content] == [text]
    Draft202012Validator(tool.answers or {}).validate(structure)


def test_a_failure_is_the_tools_own() -> None:
    answer = CallToolResult.model_validate(
        failure_of({"kind": "validation", "message": "the payload is none"})
    )

    assert answer.is_error
    assert answer.content[0].model_dump()["text"] == "validation: the payload is none"


def test_the_agents_tool_is_one_as_the_protocol_has_it() -> None:
    text = (PLAYBOOKS / "agent/discount.yaml").read_text()
    found = exposed(load(text, "f"), "examples/agent/discount")
    assert found is not None

    tool = Tool.model_validate(found.listed())

    assert (tool.name, tool.title) == ("discount", "A member's discount")
    assert tool.description == "What a member pays for a total."
    assert tool.input_schema["required"] == ["total"]
    assert tool.output_schema is not None
    assert tool.output_schema["required"] == ["pays"]
    assert tool.meta == {"noetl.io/path": "examples/agent/discount"}


def test_two_of_one_name_clash() -> None:
    first, second, other = (
        offered("name: p, exposes_as_mcp: true", path=path) for path in ("a/b", "a_b", "c")
    )

    assert clashes([first, second, other]) == {"a_b": ("a/b", "a_b")}


TELLS = "metadata.exposes_as_mcp"


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (
            "name: p, exposes_as_mcp: sometimes",
            f"3:37: error: key '{TELLS}' of the playbook is true or false, not text",
        ),
        ("name: p, exposes_as_mcp: [a]", f"3:37: error: key '{TELLS}' of the playbook cannot be a list"),
        (
            "name: p, exposes_as_mcp: '{{ x }}'",
            f"3:37: error: key '{TELLS}' of the playbook is no template: it is read where nothing is rendered; write true or false",
        ),
        (
            "name: p, exposes_as_mcp: {name: a b}",
            "3:44: error: 'a b' is no name of an MCP tool; write `exposes_as_mcp: {name: …}` with at most 64 letters, digits, `_` and `-`",
        ),
        (
            "name: цена, exposes_as_mcp: true",
            "3:40: error: no name of an MCP tool is left of 'цена'; write `exposes_as_mcp: {name: …}` with at most 64 letters, digits, `_` and `-`",
        ),
        (
            "name: p, exposes_as_mcp: {name: [a]}",
            f"3:44: error: key '{TELLS}.name' of the playbook is text, not a list",
        ),
    ],
    ids=["word", "list", "template", "name", "no name left", "name of lists"],
)
def test_what_cannot_be_a_tool_is_told_at_its_place(metadata: str, told: str) -> None:
    assert [str(each) for each in problems(headed(metadata), head="")] == [f"sales.yaml:{told}"]


def test_a_playbook_that_is_no_tool_may_be_called_anything() -> None:
    assert compiled(headed("name: цена"), head="").plan.path == "цена"
