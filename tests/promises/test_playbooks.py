"""Every playbook that we show can run: the examples, and each block of YAML in the README and the documents."""

from __future__ import annotations

import fnmatch
import re
from functools import cache as once
from pathlib import Path

import pytest

from noetl_stream.dsl.compiler import Compiled, compile_playbook
from noetl_stream.editor.formatting import formatted
from noetl_stream.tools.builtin import kinds
from tests.playbooks.constructs import SPOKEN, UNTAUGHT, known, untaught, uses
from tests.playbooks.examples import EXAMPLES, PLAYBOOKS, promised

ROOT = PLAYBOOKS.parent
FILES = sorted(str(file.relative_to(PLAYBOOKS)) for file in PLAYBOOKS.rglob("*.yaml"))
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *PLAYBOOKS.rglob("*.md"))
_FENCED = re.compile(r"^```ya?ml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: shown}\nworkflow:\n"
LINES = 50
OLDER = "44_older.yaml"
"""Teaches older spellings, so it has warnings."""


def compiled(text: str, file: str) -> Compiled:
    """A whole playbook, or some steps of one."""
    whole = _HEAD + text if text.startswith("- step:") else text
    return compile_playbook(whole, file=file, kinds=kinds())


def shown() -> dict[str, str]:
    """Every fenced block of YAML by its document and position."""
    return {
        f"{document.relative_to(ROOT)} {index}": block
        for document in DOCUMENTS
        for index, block in enumerate(_FENCED.findall(document.read_text()))
    }


@once
def used() -> frozenset[str]:
    """What all examples together use of the language."""
    return frozenset().union(*(uses((PLAYBOOKS / file).read_text()) for file in FILES))


@pytest.mark.parametrize("file", [file for file in FILES if file != OLDER])
def test_an_example_compiles_without_a_warning(file: str) -> None:
    assert compiled((PLAYBOOKS / file).read_text(), file).warnings == ()


@pytest.mark.parametrize("file", [file for file in FILES if file != OLDER])
def test_an_example_is_in_canonical_form(file: str) -> None:
    text = (PLAYBOOKS / file).read_text()

    assert formatted(text, file, kinds()) == text


def test_each_older_spelling_is_told_with_todays() -> None:
    """The comments of the lesson name what the warnings name."""
    text = (PLAYBOOKS / OLDER).read_text()
    warned = [warning.line for warning in compiled(text, OLDER).warnings]
    taught = [number for number, line in enumerate(text.splitlines(), 1) if "# today:" in line]

    assert sorted(set(warned)) == taught


@pytest.mark.parametrize("place", shown())
def test_yaml_in_a_document_compiles_without_a_warning(place: str) -> None:
    assert compiled(shown()[place], place).warnings == ()


@pytest.mark.parametrize("file", [file for file in FILES if "/" not in file])
def test_an_example_is_short_and_says_how_it_is_run_and_what_it_ends_with(file: str) -> None:
    text = (PLAYBOOKS / file).read_text()

    assert len(text.splitlines()) <= LINES
    assert f"noetl-stream run playbooks/{file}" in text
    assert promised(text) is not None


def test_every_key_of_the_language_has_an_example() -> None:
    assert [each for each in sorted(known() - used()) if not untaught(each)] == []


@pytest.mark.parametrize("pattern", UNTAUGHT)
def test_what_may_go_without_an_example_is_known_and_has_none(pattern: str) -> None:
    assert fnmatch.filter(known() - used(), pattern) != []


@pytest.mark.parametrize(("construct", "pattern"), SPOKEN.items())
def test_what_is_no_key_has_an_example_too(construct: str, pattern: str) -> None:
    assert any(re.search(pattern, (PLAYBOOKS / file).read_text(), re.MULTILINE) for file in FILES), construct


def test_the_index_lists_every_example_and_nothing_else() -> None:
    index = re.findall(
        r"^\| \[(.+?)\]\((.+?)\) \|", (PLAYBOOKS / "README.md").read_text(), flags=re.MULTILINE
    )

    assert sorted(file for _, file in index) == FILES
    assert all(Path(file).with_suffix("").as_posix() == title for title, file in index)


def test_every_example_is_run_by_a_test() -> None:
    assert sorted({example.file for example in EXAMPLES}) == FILES
