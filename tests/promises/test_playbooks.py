"""Every playbook that we show can run: the examples, and each block of YAML in the README and the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from noetl_stream.dsl.compiler import Compiled, compile_playbook
from noetl_stream.tools.builtin import kinds
from tests.playbooks.examples import EXAMPLES, PLAYBOOKS, promised

ROOT = PLAYBOOKS.parent
FILES = sorted(str(file.relative_to(PLAYBOOKS)) for file in PLAYBOOKS.rglob("*.yaml"))
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *PLAYBOOKS.rglob("*.md"))
_FENCED = re.compile(r"^```ya?ml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: shown}\nworkflow:\n"
LINES = 60


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


@pytest.mark.parametrize("file", FILES)
def test_an_example_compiles_without_a_warning(file: str) -> None:
    assert compiled((PLAYBOOKS / file).read_text(), file).warnings == ()


@pytest.mark.parametrize("place", shown())
def test_yaml_in_a_document_compiles_without_a_warning(place: str) -> None:
    assert compiled(shown()[place], place).warnings == ()


@pytest.mark.parametrize("file", [file for file in FILES if "/" not in file])
def test_an_example_is_short_and_says_how_it_is_run_and_what_it_ends_with(file: str) -> None:
    text = (PLAYBOOKS / file).read_text()

    assert len(text.splitlines()) <= LINES
    assert f"noetl-stream run playbooks/{file}" in text
    assert promised(text) is not None


def test_the_index_lists_every_example_and_nothing_else() -> None:
    index = re.findall(
        r"^\| \[(.+?)\]\((.+?)\) \|", (PLAYBOOKS / "README.md").read_text(), flags=re.MULTILINE
    )

    assert sorted(file for _, file in index) == FILES
    assert all(Path(file).with_suffix("").as_posix() == title for title, file in index)


def test_every_example_is_run_by_a_test() -> None:
    assert sorted({example.file for example in EXAMPLES}) == FILES
