"""SQL text into statements: what hides a semicolon, and what is a place for a parameter."""

from __future__ import annotations

import pytest

from noetl_stream.tools.sql_text import numbered, statements


def texts(text: str) -> list[str]:
    return [each.text.strip() for each in statements(text)]


@pytest.mark.parametrize(
    "whole",
    [
        "SELECT 'a;b'",
        "SELECT 'it''s; here'",
        'SELECT 1 AS "a;""b"',
        "SELECT `a;b`",
        "SELECT $$a;b$$",
        "SELECT $tag$a;$$;b$tag$",
        r"SELECT E'it\'s; here'",
        "SELECT 1 -- one; two",
        "SELECT 1 /* one; /* two; */ three; */ + 1",
        "SELECT 'never closed; and on",
        "SELECT 1 /* never closed; and on",
    ],
)
def test_quotes_and_comments_hide_a_semicolon(whole: str) -> None:
    assert texts(whole) == [whole]


def test_every_semicolon_outside_them_ends_a_statement() -> None:
    assert texts("a; b;; c -- d\n; 'e;' ;") == ["a", "b", "c -- d", "'e;'"]


@pytest.mark.parametrize("text", ["", " \n ", ";;", "-- nothing; at all", "/* nothing; at all */ ;"])
def test_comments_alone_are_no_statement(text: str) -> None:
    assert texts(text) == []


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("SELECT ?, ?", ("1", "2")),
        ("SELECT ?2, ?1", ("2", "1")),
        ("SELECT ?1, ?1, ?, :a, :a", ("1", "2", "a")),
        ("SELECT :a, @b, $c", ("a", "b", "c")),
        ("SELECT '?', \"?\", $$?$$ -- ?\n /* :a */", ()),
        ("SELECT x::text, 'a' LIKE '50%'", ()),
        ("SELECT a[1:2]", ()),
    ],
)
def test_places_for_parameters_stand_outside_quotes(text: str, places: tuple[str, ...]) -> None:
    (statement,) = statements(text)

    assert statement.places == places


@pytest.mark.parametrize(
    ("text", "marks", "numbers", "places"),
    [
        ("SELECT $a, $b, $a", False, "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT ?, ?", True, "SELECT $1, $2", ("1", "2")),
        ("SELECT ?2, ?1, ?2", True, "SELECT $1, $2, $1", ("2", "1")),
        ("SELECT j ? 'k', a[:n], @x, y::int, $a", False, "SELECT j ? 'k', a[:n], @x, y::int, $1", ("a",)),
        ("SELECT '$a ?', $$ $a $$ -- $a\n/* ? */", False, "SELECT '$a ?', $$ $a $$ -- $a\n/* ? */", ()),
        ("SELECT $a, ?", True, "SELECT $a, $1", ("1",)),
    ],
)
def test_places_are_numbered_and_all_else_is_the_dialects_own(
    text: str, marks: bool, numbers: str, places: tuple[str, ...]
) -> None:
    statement = numbered(text, marks=marks)

    assert (statement.text, statement.places) == (numbers, places)
