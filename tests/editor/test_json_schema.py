"""The JSON Schema takes what the compiler takes, refuses what it refuses for its structure, and describes every key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from noetl_stream.dsl import spellings
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.dsl.source import load
from noetl_stream.editor.json_schema import schema_text
from noetl_stream.errors import InvalidPlaybook
from tests.editor.kinds import KINDS, SCHEMA
from tests.playbooks.examples import PLAYBOOKS
from tests.promises.test_playbooks import FILES, shown

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(SCHEMA)
HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: shown}\nworkflow:\n"
STEP = "- step: start\n"


def faults(text: str) -> list[str]:
    """What the schema says of a document, or of steps."""
    whole = HEAD + text if text.startswith("- step:") else text
    return [error.json_path for error in VALIDATOR.iter_errors(load(whole, "shown").plain())]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_released_copy_is_what_the_model_gives() -> None:
    """Write it anew with `noetl-stream schema --out schemas/playbook.schema.json`."""
    assert (ROOT / "schemas" / "playbook.schema.json").read_text() == schema_text(KINDS)


@pytest.mark.parametrize("file", FILES)
def test_an_example_is_valid(file: str) -> None:
    assert faults((PLAYBOOKS / file).read_text()) == []


@pytest.mark.parametrize("place", shown())
def test_yaml_in_a_document_is_valid(place: str) -> None:
    assert faults(shown()[place]) == []


ACCEPTED = {
    "templates for numbers": "  tool: {kind: http, url: x, timeout: '{{ workload.t }}', verify_ssl: '{{ x }}'}",
    "numbers as text": "  spec: {timeout: '30', max_in_flight: ' 2.0 '}\n  tool: {kind: noop}",
    "nulls for what is not there": "  desc:\n  set: null\n  tool: {kind: noop}",
    "a kind that is not installed": "  tool: {kind: nats, operation: get, bucket: b}",
    "a labelled task": "  tool:\n  - load: {kind: python, code: x}\n  - workbook: w",
    "config under spec": "  tool: {kind: http, spec: {url: x, timeout: 3}}",
    "a connection pool": "  tool: {kind: noop, pool: {}}",
    "a rule with an empty else": "  tool:\n    kind: noop\n    spec: {policy: {rules: [{else: null, then: {do: fail}}]}}",
    "short routes": "  next: [start, {step: start, when: '{{ ctx.x }}'}]",
    "a cursor": "  loop: {cursor: {kind: duckdb, claim: select 1, database: x}}\n  tool: {kind: noop}",
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_the_language_leaves_open_is_valid(what: str) -> None:
    assert faults(STEP + ACCEPTED[what]) == []


REFUSED = {
    "an unknown key of a step": ("  inptu: {a: 1}", "$.workflow[0]"),
    "an unknown key of a tool": ("  tool: {kind: http, url: x, bdoy: 1}", "$.workflow[0].tool"),
    "a tool without its key": ("  tool: {kind: http}", "$.workflow[0].tool"),
    "an unknown kind": ("  tool: {kind: pyhton}", "$.workflow[0].tool"),
    "a list for a name": ("  next: {arcs: [{step: [a]}]}", "$.workflow[0].next"),
    "a word that is none": (
        "  loop: {in: [1], spec: {mode: parralel}}\n  tool: {kind: noop}",
        "$.workflow[0].loop",
    ),
    "an arc without a step": ("  next: {arcs: [{when: '{{ x }}'}]}", "$.workflow[0].next"),
    "text for a number": ("  spec: {timeout: soon}", "$.workflow[0].spec"),
    "two kinds of loop": ("  loop: {in: [1], while: '{{ x }}'}\n  tool: {kind: noop}", "$.workflow[0].loop"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_with_the_structure_is_found_by_schema_and_compiler(what: str) -> None:
    text, place = REFUSED[what]

    assert faults(STEP + text) == [place]
    with pytest.raises(InvalidPlaybook):
        compile_playbook(HEAD + STEP + text, file="shown", kinds=KINDS)


def test_a_document_needs_its_head() -> None:
    assert sorted(faults("apiVersion: noetl.io/v3\nkind: Playbook\nworkflow: []\n")) == [
        "$",
        "$.apiVersion",
        "$.workflow",
    ]


def test_a_subscription_is_held_to_its_own_table() -> None:
    subscription = (
        "apiVersion: noetl.io/v1\nkind: Subscription\nmetadata: {name: s}\n"
        "spec: {source: kafka, topic: t, dispatch: {playbook: p}}\n"
    )

    assert faults(subscription) == []
    assert faults(subscription.replace("dispatch: {playbook", "dispatch: {palybook")) != []


@pytest.mark.parametrize("old", [*spellings.STEP, *spellings.TASK])
def test_an_older_spelling_is_valid_and_deprecated(old: str) -> None:
    value = {"credential": "c", "timeout_seconds": "3"}.get(old, "{}")
    step = (
        f"  {old}: {value}\n  tool: {{kind: noop}}"
        if old in spellings.STEP
        else f"  tool: {{kind: noop, {old}: {value}}}"
    )

    assert faults(STEP + step) == []
    found = [each for name, each in properties(SCHEMA) if name == old and each.get("deprecated")]
    new = {**spellings.TASK, **spellings.STEP}[old]
    assert f"Older spelling of `{new}`." in {each["description"] for each in found}


def test_every_older_spelling_of_the_table_is_one_to_the_compiler() -> None:
    text = (
        HEAD
        + STEP
        + (
            "  args: {a: 1}\n  output: {store: {kind: cache}}\n"
            "  tool:\n  - {kind: noop, payload: {}, credential: c, timeout_seconds: 1}\n"
            "  - {kind: noop, args: {}, retry: {attempts: 2, backoff_seconds: 1, backoff: none}}\n"
            "  - {kind: noop, spec: {timeout_seconds: 1, policy: {rules: [{cond: '{{ output }}', then: {do: fail}}]}}}\n"
            "  next: [{step: b, cond: '{{ input }}', with: {}}, {step: b, input: {}}]\n- step: b\n  tool: {kind: noop}\n"
        )
    )
    warned = {
        (w.message.split("'")[1], (w.suggestion or "").split("'")[1])
        for w in compile_playbook(text, file="shown", kinds=KINDS).warnings
        if "older spelling" in w.message
    }

    tables = (
        spellings.STEP,
        spellings.TASK,
        spellings.ARC,
        spellings.RULE,
        spellings.RETRY,
        spellings.SPEC,
        spellings.BACKOFF,
        spellings.STORE,
    )
    assert warned == {pair for table in tables for pair in table.items()}


def properties(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema, but for those of conditions."""
    match node:
        case dict():
            for name, each in node.get("properties", {}).items():
                if isinstance(each, dict):
                    yield name, each
            for key, each in node.items():
                if key not in ("if", "allOf"):
                    yield from properties(each)
        case list():
            for each in node:
                yield from properties(each)


def test_every_key_of_the_language_is_described() -> None:
    ours = {
        name: part
        for name, part in SCHEMA["$defs"].items()
        if name[0].islower() and not name.startswith("task_")
    }

    assert [name for name, each in properties(ours) if not each.get("description")] == []
