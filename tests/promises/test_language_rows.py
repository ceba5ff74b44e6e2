"""Every row of the language is held by tests that exist, and docs/language.md shows the list as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from noetl_stream.core.names import ENVELOPE, LAST, UNSHADOWABLE
from noetl_stream.dsl import document as outer
from noetl_stream.dsl import schema
from noetl_stream.dsl.kinds import ERROR_KINDS, EXTRAS
from noetl_stream.dsl.shapes import Keys
from tests.promises.language_rows import OLDER, PAGE, ROWS, SPELLINGS, document
from tests.promises.rows import Row
from tests.promises.test_language_docs import spelled, words

TESTS = Path(__file__).parents[1]


@cache
def known(file: str) -> frozenset[str]:
    """The tests of a file, as `Class::name` or `name`."""
    return frozenset(_tests(ast.parse((TESTS / file).read_text()), ""))


def _tests(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for each in node.body:
        match each:
            case ast.ClassDef(name=name):
                yield from _tests(each, f"{prefix}{name}::")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test_"):
                yield f"{prefix}{name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_held_by_tests_that_exist(row: Row) -> None:
    assert row.tests or row.waits, f"no test holds '{row.id}': {row.means}"
    for test in row.tests:
        file, _, name = test.partition("::")
        assert (TESTS / file).is_file(), f"'{row.id}' names {test}: there is no such file"
        assert name in known(file), f"'{row.id}' names {test}: there is no such test"


def test_no_row_stands_twice() -> None:
    ids = [row.id for row in ROWS]

    assert sorted(set(ids)) == sorted(ids)


def test_every_older_spelling_is_shown_by_a_row() -> None:
    shown = {spelling for row in ROWS for spelling in row.spells}

    assert {each.row for each in SPELLINGS} - shown == set()
    assert {each.partition(".")[0] for each in shown} <= set(OLDER)


def test_every_word_of_the_model_is_in_a_row() -> None:
    shown = words(
        " ".join([row.means for row in ROWS] + [f"`{each}`" for row in ROWS for each in row.canonical])
    )
    shapes = [outer.PLAYBOOK, outer.SUBSCRIPTION, *(Keys(keys=each) for each in (schema.STEP, schema.TASK))]
    keys = {key for shape in shapes for key in spelled(shape)}

    assert keys - shown == set()
    assert {*schema.ACTIONS, *schema.BACKOFF.words, *ERROR_KINDS, *EXTRAS} - shown == set()
    assert {*UNSHADOWABLE, *LAST, *ENVELOPE} - shown == set()


def test_the_document_shows_the_rows_as_they_are() -> None:
    """`python -m tests.promises.language_rows` writes them."""
    assert PAGE.read_text() == document(PAGE.read_text())
