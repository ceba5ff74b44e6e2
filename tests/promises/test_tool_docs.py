"""docs/tools.md has every kind with its keys as the model has them, its nature, errors and examples; and nothing else."""

from __future__ import annotations

import re

import pytest

from noetl_stream.dsl.kinds import EXTRAS
from noetl_stream.editor.words import TOOLS
from tests.playbooks.constructs import uses
from tests.playbooks.examples import PLAYBOOKS
from tests.promises.tool_tables import KINDS, PAGE, document, table

LEAST = 30
"""Words of prose that a section has at least, its table and examples apart."""
SHORT = {"noop", "result_fetch", "artifact", "script", "wait"}
"""Kinds of which there is less to say."""


def sections() -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples(section: str) -> list[str]:
    """The files that its last line links to."""
    lines = [line for line in section.splitlines() if re.match("Examples?: ", line)]
    return re.findall(r"\]\(\.\./playbooks/([\w/]+\.yaml)\)", "\n".join(lines))


def prose(section: str) -> str:
    """What somebody wrote."""
    return re.sub(r"^(\||Examples?: ).*$", "", section, flags=re.MULTILINE)


def test_every_kind_has_a_section_and_every_section_a_kind() -> None:
    assert sections().keys() == KINDS.keys()


def test_the_tables_are_as_the_models_are() -> None:
    """If not: `python -m tests.promises.tool_tables`."""
    assert document(PAGE.read_text()) == PAGE.read_text()


def test_a_table_that_says_something_else_is_written_anew() -> None:
    text = PAGE.read_text().replace("| `seconds` | number |", "| `minutes` | text |")

    assert text != PAGE.read_text()
    assert document(text) == PAGE.read_text()


def test_a_section_without_its_table_gets_it() -> None:
    text = PAGE.read_text().replace("\n" + table(KINDS["noop"]), "")

    assert text != PAGE.read_text()
    assert document(text) == PAGE.read_text()


def test_every_kind_of_the_language_has_a_sentence() -> None:
    assert TOOLS.keys() == {*EXTRAS, *KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_every_key_has_a_sentence(name: str) -> None:
    model = KINDS[name].config

    assert model is not None
    assert [key for key, each in model.model_fields.items() if not each.description] == []


@pytest.mark.parametrize("name", KINDS)
def test_every_section_tells_nature_errors_and_more(name: str) -> None:
    section = sections()[name]

    assert f"Nature: `{KINDS[name].nature}`" in section
    assert re.search(r"^Errors: ", section, re.MULTILINE)
    assert name in SHORT or len(prose(section).split()) >= LEAST


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_an_example_that_uses_it(name: str) -> None:
    """tests/playbooks runs every one of them."""
    shown = examples(sections()[name])

    assert shown != []
    assert [file for file in shown if f"kind={name}" not in uses((PLAYBOOKS / file).read_text())] == []
