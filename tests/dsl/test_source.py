"""YAML into places: where things stand, and what is refused before anyone looks at its meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.dsl import source
from noetl_stream.dsl.source import Place, load
from noetl_stream.errors import InvalidPlaybook


def refused(text: str) -> list[str]:
    with pytest.raises(InvalidPlaybook) as caught:
        load(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_and_value_knows_its_place() -> None:
    node = load("a:\n  - b: 1\n    c:\n      d: x\n", "f.yaml")

    (item,) = node.mapping["a"].items
    assert item.key_place("b") == Place("f.yaml", 2, 5)
    assert item.mapping["b"].place == Place("f.yaml", 2, 8)
    assert str(item.mapping["c"].mapping["d"].place) == "f.yaml:4:10"
    assert node.plain() == {"a": [{"b": 1, "c": {"d": "x"}}]}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "a: yes\nb: on\nc: true\nd: ~\ne: '007'\nf: 0o17\ng: 0x1F\nh: 1.5\ni: 2026-01-02\nj: -3\n1: k\nl: 1e3\n"

    assert load(text, "f").plain() == {
        "a": "yes", "b": "on", "c": True, "d": None, "e": "007", "f": 15, "g": 31, "h": 1.5,
        "i": "2026-01-02", "j": -3, "1": "k", "l": 1000.0,
    }  # fmt: skip


def test_a_duplicate_key_is_an_error_at_the_second_one() -> None:
    assert refused("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n") == [
        "f.yaml:4:3: error: duplicate key 'c', first at line 3; keep one of them",
        "f.yaml:5:1: error: duplicate key 'a', first at line 1; keep one of them",
    ]


def test_merge_keys_lay_a_mapping_under_another() -> None:
    node = load("base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\nd: {<<: [{x: 4}, *b]}\n", "f")

    assert node.mapping["c"].plain() == {"y": 3, "x": 1}
    assert node.mapping["d"].plain() == {"x": 4, "y": 2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2", "f.yaml:2:2: error: YAML: expected ',' or ']'"),
        ("a: b: c", "f.yaml:1:5: error: YAML: mapping values are not allowed"),
        ("- a", "f.yaml:1:1: error: a document is a mapping with"),
        ("", "f.yaml:1:1: error: a document is a mapping with"),
        (
            "a: 1\n---\nb: 2",
            "f.yaml:3:1: error: a file holds one document, and here begins a second; put it into a file of its own",
        ),
        ("a: *nowhere", "f.yaml:1:4: error: YAML: found undefined alias"),
        ("a: 1\nb: x\x00", "f.yaml:2:5: error: YAML: the character U+0000 is not allowed"),
        (
            "a:\n\tb: 1",
            "f.yaml:2:1: error: YAML: found character '\\t' that cannot start any token; indent with spaces",
        ),
        ('a: 1\nb: "x\nc: 2', "f.yaml:2:4: error: YAML: found unexpected end of stream; close the quote"),
        ("a: @x", "f.yaml:1:4: error: YAML: found character '@' that cannot start any token; quote text"),
        (
            "a: {{ x }}",
            'f.yaml:1:5: error: a key is text, not a collection; quote a template, as in "{{ … }}"',
        ),
        (
            "a: {{ x }}/y",
            "f.yaml:1:11: error: YAML: expected <block end>, but found '<scalar>'; quote the whole value",
        ),
        ("a: 1\n b: 2", "f.yaml:2:3: error: YAML: mapping values are not allowed here; quote text with"),
        (
            "a:\n  b: 1\n c: 2",
            "f.yaml:3:2: error: YAML: expected <block end>, but found '<block mapping start>'; align",
        ),
        ("a: 18446744073709551616", "f.yaml:1:4: error: '18446744073709551616' is no JSON number; quote it"),
        ("a: !!int x", "f.yaml:1:4: error: 'x' is no number; quote it if text is meant"),
        ('a: "\\ud800"', "f.yaml:1:4: error: text holds half a character"),
        ("%YAML 3.0\n---\na: 1", "f.yaml:1:1: error: YAML: found incompatible YAML document"),
        ("? [x]\n: 1", "f.yaml:1:3: error: a key is text, not a collection"),
        (
            "a: !!python/name:os.system x",
            "f.yaml:1:4: error: the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: !secret x", "f.yaml:1:4: error: the tag '!secret' is not accepted; remove it"),
        ("a: .inf", "f.yaml:1:4: error: '.inf' is no JSON number; quote it if text is meant"),
        ("a: {<<: 3}", "f.yaml:1:9: error: '<<' merges mappings only"),
        ("a: &a [*a]", "f.yaml:1:4: error: values nest more than 100 deep (an alias inside itself?)"),
        ("a: " + "[" * 1200 + "]" * 1200, "f.yaml:1:1: error: the document nests too deeply"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, problem: str) -> None:
    assert refused(text)[0].startswith(problem)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa: 1\nb: 2\n",
        "a: 1\r\nb: 2\r\n",
        "---\na: 1\nb: 2\n...\n",
        "---\n---\na: 1\nb: 2\n---\n",
        "%YAML 1.1\n---\na: 1\nb: 2\n",
    ],
    ids=["a byte order mark", "line ends of Windows", "marks around it", "empty documents", "a directive"],
)
def test_what_stands_around_a_document_does_not_change_it(text: str) -> None:
    assert load(text, "f").plain() == {"a": 1, "b": 2}


def test_yes_is_true_where_a_file_says_that_it_is_of_yaml_1_1() -> None:
    assert load("%YAML 1.1\n---\na: yes\nb: off\n", "f").plain() == {"a": True, "b": False}


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert "expands to more than" in refused("\n".join(lines))[0]


def test_a_document_over_the_size_limit_is_refused() -> None:
    assert "at most 16777216 are read" in refused("a: " + "x" * source.MAX_BYTES)[0]


@given(st.text(max_size=200))
def test_any_text_is_a_tree_or_a_problem(text: str) -> None:
    try:
        found: object = load(text, "f").is_mapping
    except InvalidPlaybook as error:
        found = error.problems
    assert found
