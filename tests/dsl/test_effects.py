"""`effects: exactly_once` is a promise of the kind: who cannot keep it is told before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.errors import InvalidPlaybook
from noetl_stream.tools.builtin import kinds

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: a, path: a}\nworkflow:\n"


@pytest.mark.parametrize(
    "tool",
    [
        "kind: shell, command: ls",
        "kind: script, script: ls",
        "kind: adbc, auth: a, driver: flightsql, query: SELECT 1",
        "kind: snowflake, auth: a, query: SELECT 1",
    ],
)
def test_a_kind_that_keeps_no_keys_cannot_run_exactly_once(tool: str) -> None:
    text = f"{HEAD}- {{step: a, spec: {{effects: exactly_once}}, tool: {{{tool}}}}}\n"

    with pytest.raises(InvalidPlaybook) as refused:
        compile_playbook(text, file="a.yaml", kinds=kinds())

    assert str(refused.value.problems[0]) == (
        "a.yaml:5:29: error: the tool of step 'a' cannot run `exactly_once`: its kind keeps no keys; "
        "write `at_most_once`, or leave the effect to an SQL task"
    )


def test_a_kind_whose_extra_is_missing_here_makes_no_promise_either() -> None:
    """Whoever runs it has the extra, and would be asked to keep what was let through."""
    there = kinds()
    text = f"{HEAD}- {{step: a, spec: {{effects: exactly_once}}, tool: {{kind: snowflake, auth: a, query: x}}}}\n"

    with pytest.raises(InvalidPlaybook, match="cannot run `exactly_once`: its kind keeps no keys"):
        compile_playbook(
            text, file="a.yaml", kinds={**there, "snowflake": replace(there["snowflake"], installed=False)}
        )


@pytest.mark.parametrize(
    "tool",
    [
        "kind: sqlite, database: a.db, query: SELECT 1",
        "kind: postgres, auth: a, query: SELECT 1",
        "kind: http, url: 'http://a'",
        "kind: playbook, path: a",
        "kind: noop",
        "kind: shell, command: ls, spec: {effects: at_most_once}",
    ],
)
def test_a_kind_that_keeps_keys_or_writes_nothing_can(tool: str) -> None:
    text = f"{HEAD}- {{step: a, spec: {{effects: exactly_once}}, tool: {{{tool}}}}}\n"

    assert compile_playbook(text, file="a.yaml", kinds=kinds()).plan.steps
