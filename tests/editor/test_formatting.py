"""Formatting: canonical, idempotent, and without a change of what a document means."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, given, settings

from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.editor.formatting import formatted, respelled
from noetl_stream.errors import InvalidPlaybook
from tests.editor.documents import documents
from tests.editor.kinds import KINDS
from tests.editor.plans import sketch
from tests.playbooks.examples import PLAYBOOKS
from tests.promises.test_playbooks import FILES, shown

COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)

MESSY = """\
# what it is for

kind:   Playbook
metadata:
    path: x   # where
    # its name
    name: "messy"
apiVersion: noetl.io/v2
workflow:
# first
-   next:
      - args: {a: 1}
        cond: "{{ event.name == 'call.done' }}"
        step: b
    # the tool
    tool:
            code: |
                    def f():
                        # comment
                        return {"a": 1}

                    result = f()

            # its own name
            kind:    python
            timeout_seconds: 5
    step:   a
    # behind a


# about b
- step: b
  tool:
  - fetch:
      payload: {a: 1}
      endpoint: "http://x"  \x20
      kind: http
  # second
  - kind: noop
    name: last
# the inputs
workload:
  b: 1
  a: [1,
    2]
"""
NEAT = """\
# what it is for

apiVersion: noetl.io/v2
kind:   Playbook
metadata:
  # its name
  name: "messy"
  path: x   # where

# the inputs
workload:
  b: 1
  a: [1,
    2]

workflow:
  # first
  - step:   a
    # the tool
    tool:
      # its own name
      kind:    python
      code: |
        def f():
            # comment
            return {"a": 1}

        result = f()
      timeout: 5
    next:
      - step: b
        when: "{{ event.name == 'step.done' }}"
        args: {a: 1}
    # behind a

  # about b
  - step: b
    tool:
      - fetch:
          kind: http
          body: {a: 1}
          url: "http://x"
      # second
      - name: last
        kind: noop
"""


def format_of(text: str) -> str:
    return formatted(text, "shown", KINDS)


def test_a_messy_document_becomes_canonical() -> None:
    assert format_of(MESSY) == NEAT


def check_formatting(text: str) -> None:
    """It compiles to the same plan, keeps every comment, needs no older spelling and no second formatting."""
    neat = format_of(text)
    before, after = (compile_playbook(each, file="shown", kinds=KINDS) for each in (text, neat))

    assert format_of(neat) == neat
    assert sketch(after) == sketch(before)
    assert [w for w in after.warnings if "older spelling" in w.message] == []
    assert sorted(c.strip() for c in COMMENT.findall(neat)) == sorted(
        c.strip() for c in COMMENT.findall(text)
    )


@pytest.mark.slow
@given(documents())
@settings(max_examples=60, deadline=None, phases=[Phase.generate])
def test_whatever_people_type_formatting_changes_no_meaning(text: str) -> None:
    check_formatting(text)


@pytest.mark.slow
@given(documents())
@settings(max_examples=30, deadline=None, phases=[Phase.generate])
def test_whatever_people_type_ends_up_in_one_form(text: str) -> None:
    """Lists one level below their key, keys in order, no two blank lines outside of texts."""
    neat = format_of(text)

    assert neat.endswith("\n")
    assert re.search(r"^workflow:(.*)\n( *#.*\n|\n)*-", neat, flags=re.MULTILINE) is None
    assert re.search(r"^ *- +(?!step)\w+:.*\n( {4}\w.*\n)* {4}step:", neat, flags=re.MULTILINE) is None
    sections = re.findall(r"^['\"]?(\w+)['\"]?:", neat, flags=re.MULTILINE)
    assert sections == [
        s for s in ("apiVersion", "kind", "metadata", "workload", "workflow") if s in sections
    ]


@pytest.mark.parametrize("file", FILES)
def test_an_example_means_the_same_when_formatted(file: str) -> None:
    check_formatting((PLAYBOOKS / file).read_text())


@pytest.mark.parametrize(
    "place", [place for place, text in shown().items() if not text.startswith("- step:")]
)
def test_a_shown_playbook_means_the_same_when_formatted(place: str) -> None:
    check_formatting(shown()[place])


def test_what_is_no_yaml_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidPlaybook) as refused:
        format_of("a: [1")

    assert (refused.value.problems[0].line, refused.value.problems[0].message[:5]) == (1, "YAML:")


def test_a_document_with_errors_is_formatted_all_the_same() -> None:
    text = "kind: Playbook\napiVersion: noetl.io/v2\nworkflow:\n- tool: {kind: pyhton}\n  step: a\n"

    assert format_of(text) == (
        "apiVersion: noetl.io/v2\nkind: Playbook\n\nworkflow:\n  - step: a\n    tool: {kind: pyhton}\n"
    )


def test_windows_line_ends_and_a_byte_order_mark_become_plain() -> None:
    assert format_of("\ufeff" + NEAT.replace("\n", "\r\n")) == NEAT


def test_a_spelling_that_two_uses_read_differently_stays() -> None:
    """One anchor, and `payload` is an http body in one place and an input in the other."""
    text = (
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a}\n\nworkflow:\n"
        "  - step: start\n    tool:\n      - {kind: http, url: x, <<: &p {payload: {a: 1}}}\n"
        "      - {kind: noop, <<: *p}\n"
    )

    assert respelled(text, "shown", KINDS) == text
    assert format_of(text) == text


def test_the_last_blank_lines_of_a_text_that_keeps_them_are_kept() -> None:
    text = (
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a}\n\nworkflow:\n  - step: start\n"
        "    tool:\n      result: |+\n        a  \n\n\n      kind: noop\n"
    )

    neat = format_of(text)

    assert neat.endswith("      kind: noop\n      result: |+\n        a  \n\n\n")
    assert format_of(neat) == neat


ALIASED = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: a}

workflow:
- step: one
  tool: &same
    name: x
    kind: noop
- tool: *same
  step: two
...
# the end"""


def test_what_stands_elsewhere_under_an_anchor_is_left_there() -> None:
    assert format_of(ALIASED) == (
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a}\n\nworkflow:\n  - step: one\n"
        "    tool: &same\n      kind: noop\n      name: x\n\n  - step: two\n    tool: *same\n...\n# the end\n"
    )


def test_a_last_line_without_an_end_gets_one() -> None:
    text = NEAT.removesuffix("\n").replace("name: last\n        kind: noop", "kind: noop\n        name: last")

    assert format_of(text) == NEAT
