"""Where steps are named, what renaming one changes, and what is said of what stands under a cursor."""

from __future__ import annotations

import pytest

from noetl_stream.editor.checking import problems_of
from noetl_stream.editor.fixes import applied, fix_of
from noetl_stream.editor.hover import hover_at
from noetl_stream.editor.marks import span_of
from noetl_stream.editor.mentions import mentions, renamed
from noetl_stream.errors import InvalidRequest
from tests.editor.kinds import KINDS, SCHEMA

TEXT = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: shown}
executor: {spec: {entry_step: load}}
policy: {on_failure: {step: load}}
workflow:
  - step: load # load it
    desc: Everything begins with load.
    tool: {kind: http, url: "http://load"}
    next:
      arcs:
        - step: report
          when: "{{ load.status_code == 200 and output.load != 'load' }}"
        - {step: load, when: "{{ steps.load.attempts < 3 and steps['load'].error }}"}
  - step: report
    loop: {in: "{{ load.data }}", iterator: each}
    input: {all: "{{ load }}", some: "{{ x | d(load=1) }}"}
    tool:
      kind: python
      code: |
        result = context["load"]
    on_error: {step: load}
  - step: shadowed
    tool:
      - {name: load, kind: noop}
      - {kind: noop, result: "{{ load }}"}
"""


def test_a_step_is_found_where_it_is_written_named_and_read() -> None:
    found = [(TEXT.count("\n", 0, m.span.start) + 1, m.kind) for m in mentions(TEXT) if m.name == "load"]

    assert found == [
        (4, "leads"), (5, "leads"), (7, "is"), (13, "reads"), (14, "leads"), (14, "reads"), (14, "reads"),
        (16, "reads"), (17, "reads"), (21, "reads"), (22, "leads"),
    ]  # fmt: skip


def test_a_renamed_step_leaves_a_document_with_the_same_problems() -> None:
    text = applied(renamed(TEXT, "load", "fetch"), TEXT)

    assert [m.name for m in mentions(text)].count("fetch") == 11
    assert [p.line for p in problems_of(text, "a", KINDS)] == [p.line for p in problems_of(TEXT, "a", KINDS)]
    assert "http://load" in text
    assert "begins with load" in text
    assert "{name: load, kind: noop}" in text


@pytest.mark.parametrize("name", ["report", "", "not a name"])
def test_a_name_that_would_mean_something_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        renamed(TEXT, "load", name)


HOVERED = {
    "a key": ("on_error", "where to go when it failed"),
    "a kind": ("http, url", "`method`: any method (`GET` by default)"),
    "a kind's result": ("http, url", "Its result is `{status_code"),
    "a step where it is named": ("report\n          when", "**step report** `python`"),
    "a step in a template": ("load.status_code", "Everything begins with load."),
    "a loop's result": ("report\n    loop", "`{results, data"),
    "a name": ("output.load", "The envelope"),
    "a filter's neighbour": ("context", None),
}


@pytest.mark.parametrize("what", HOVERED)
def test_what_stands_under_the_cursor_is_explained(what: str) -> None:
    at, words = HOVERED[what]

    found = hover_at(TEXT, TEXT.index(at), SCHEMA)

    assert (found is None) if words is None else (found is not None and words in found.words)


FIXED = {
    "an unknown key": ("inptu: {a: 1}", "input: {a: 1}"),
    "an older spelling": ("args: {a: 1}", "input: {a: 1}"),
    "a quoted older spelling": ('"args": {a: 1}', '"input": {a: 1}'),
    "an unknown name": ('input: {a: "{{ start.x + strat.y }}"}', 'input: {a: "{{ start.x + start.y }}"}'),
    "an unknown filter": ('input: {a: "{{ 1 | uper }}"}', 'input: {a: "{{ 1 | upper }}"}'),
    "a target that is none": ("next: strat", "next: start"),
    "an older event": (
        "next: [{step: start, when: \"{{ event.name == 'call.done' }}\"}]",
        "next: [{step: start, when: \"{{ event.name == 'step.done' }}\"}]",
    ),
}


@pytest.mark.parametrize("what", FIXED)
def test_what_was_meant_is_one_edit_away(what: str) -> None:
    before, after = FIXED[what]
    head = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a}\nworkflow:\n- step: start\n  tool: {kind: noop}\n  "
    text = head + before + "\n"

    fixes = [fix for problem in problems_of(text, "a", KINDS) if (fix := fix_of(problem, text))]

    assert applied(fixes, text) == head + after + "\n"
    assert problems_of(head + after + "\n", "a", KINDS) == ()


def test_a_problem_is_about_the_word_it_names() -> None:
    text = TEXT.replace("load.data", "lod.data | lenght")

    found = {span_of(p, text).of(text) for p in problems_of(text, "a", KINDS)}

    assert "lenght" in found


@pytest.mark.parametrize(
    "bomb",
    [
        "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else 'k' * 9)}]\n" for n in range(30)),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
    ],
)
def test_a_document_that_holds_itself_over_and_over_is_not_followed(bomb: str) -> None:
    text = bomb + TEXT

    (found,) = problems_of(text, "a", KINDS)

    assert span_of(found, text).start < len(bomb)
    assert mentions(text) == []
    assert hover_at(text, len(bomb), SCHEMA) is None


def test_errors_and_warnings_are_told_together() -> None:
    text = TEXT.replace("kind: python", "kind: pyhton").replace("desc:", "args: {a: 1}\n    desc:", 1)

    assert {p.severity for p in problems_of(text, "a", KINDS)} == {"error", "warning"}
