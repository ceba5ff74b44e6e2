"""Inputs from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.cli.inputs import inputs
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("you", "you"),
        ("two words", "two words"),
        ("http://127.0.0.1:80/a?b=c", "http://127.0.0.1:80/a?b=c"),
        ("3", 3),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ("", None),
        ('"3"', "3"),
        ("[1, two]", [1, "two"]),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
    ],
)
def test_a_value_is_read_as_a_playbook_would_read_it(text: str, value: Value) -> None:
    assert inputs(None, [f"key={text}"]) == {"key": value}


def test_dots_nest_and_lie_over_the_payload() -> None:
    found = inputs('{"a": {"b": 1, "c": 2}, "d": 3}', ["a.b=9", "e.f.g=text"])

    assert found == {"a": {"b": 9, "c": 2}, "d": 3, "e": {"f": {"g": "text"}}}


def test_a_payload_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "january.json").write_text('{"month": 1}')

    assert inputs(f"@{tmp_path / 'january.json'}", []) == {"month": 1}


@pytest.mark.parametrize(
    ("payload", "sets", "said"),
    [
        (None, ["key"], "write KEY=VALUE"),
        (None, ["=1"], "write KEY=VALUE"),
        (None, ["key=a: b"], "quote a text in quotes"),
        (None, ["a=1", "a.b=2"], "'a' is set to a value and to a mapping"),
        ("[1]", [], "--payload is no JSON object"),
        ("{", [], "--payload is no JSON"),
        ("@nowhere.json", [], "name a readable file"),
    ],
)
def test_what_cannot_be_read_is_named(payload: str | None, sets: list[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said.replace("{", r"\{")):
        inputs(payload, sets)
