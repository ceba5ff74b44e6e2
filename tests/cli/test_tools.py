"""`tools`: what can run here, and a kind's keys."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from noetl_stream.cli import playbooks
from noetl_stream.cli.main import app
from noetl_stream.dsl.kinds import EXTRAS
from noetl_stream.editor.kind_keys import words_of_type
from noetl_stream.ports.tools import Kind
from noetl_stream.tools.builtin import BUILTIN


class SendConfig(BaseModel):
    to: str | list[str] = Field(description="to whom")
    times: int = Field(1, description="how often")


PIGEON = Kind(
    name="pigeon",
    config=SendConfig,
    nature="write",
    installed=False,
    extra="birds",
    summary="Sends a pigeon.",
)


def asked(*arguments: str) -> str:
    ended = CliRunner().invoke(app, ["tools", *arguments])
    assert ended.exit_code == 0
    return ended.stdout


def test_every_kind_of_the_language_is_listed_with_whether_it_can_run_here() -> None:
    found = {kind["kind"]: kind for kind in json.loads(asked("--json"))}

    assert found.keys() == EXTRAS.keys() | BUILTIN.keys()
    assert found["http"]["nature"] == "write"
    assert found["workbook"]["installed"]
    assert [name for name, kind in found.items() if kind["nature"] is None and kind["installed"]] == [
        "workbook"
    ]


def test_a_kinds_keys_are_told_with_type_default_and_meaning() -> None:
    method = next(key for key in json.loads(asked("http", "--json"))["keys"] if key["name"] == "method")

    assert method == {
        "name": "method",
        "type": "text",
        "required": False,
        "default": "GET",
        "meaning": "any method",
        "also": [],
    }


def test_people_read_a_table() -> None:
    lines = [line.split() for line in asked("wait").splitlines()]

    assert ["key", "type", "default", "meaning"] in lines
    assert ["seconds", "number", "for", "how", "long", "(also", "`duration`)"] in lines


def test_an_older_name_of_a_kind_finds_it() -> None:
    assert json.loads(asked("s3", "--json"))["kind"] == "object"


def test_a_plugin_speaks_for_itself_and_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbooks, "kinds_here", lambda: {"pigeon": PIGEON})

    assert asked("pigeon").splitlines()[:2] == [
        "pigeon: Sends a pigeon.",
        "here: pip install 'noetl-stream[birds]'",
    ]
    assert "required" in asked("pigeon")


def test_a_kind_that_is_not_there_is_told_with_its_neighbour() -> None:
    ended = CliRunner().invoke(app, ["tools", "htp"])

    assert ended.exit_code == 2
    assert ended.stderr == "there is no kind of tool 'htp'; did you mean 'http'?\n"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str | None, "text"),
        (int | float, "number"),
        (list[str | int], "list of (text or whole number)"),
        (dict[str, int] | list[str], "mapping or list of text"),
        (SendConfig | bool, "`{to, times}` or flag"),
    ],
)
def test_a_type_is_said_in_words(annotation: object, words: str) -> None:
    assert words_of_type(annotation) == words
