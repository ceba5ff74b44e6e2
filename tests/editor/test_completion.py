"""What may be written at a cursor. `¦` marks it; most documents are half written and no YAML."""

from __future__ import annotations

import pytest

from noetl_stream.editor.completion import completions
from tests.editor.kinds import SCHEMA

HEAD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: shown}
workload: {region: north}
workbook:
  - name: profile
    tool: {kind: noop}
keychain: [{name: shop, kind: static}]
workflow:
"""
REST = """
  - step: fetch
    tool: {kind: http, url: x}
    set: {ctx.seen: 1}
  - step: last
    loop: {in: [1], iterator: day}
    tool: {kind: duckdb, query: select 1}
"""


def offered(marked: str) -> list[str]:
    before, after = marked.split("¦")
    line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
    return [each.label for each in completions(before + after, line, column, SCHEMA)]


CASES = {
    "keys of the document": ("apiVersion: noetl.io/v2\nwork¦", {"workload", "workflow", "workbook"}),
    "keys of metadata": ("metadata:\n  name: a\n  ¦", {"path", "description"}),
    "keys of a step": ("workflow:\n  - step: a\n    ¦", {"tool", "loop", "next", "set"}),
    "keys of a step on the dash": ("workflow:\n  - ¦", {"step", "tool"}),
    "keys of a step before others": ("workflow:\n  - step: a\n    ¦\n    tool: {kind: noop}", {"loop", "next"}),
    "keys of a tool by its kind": ("workflow:\n  - step: a\n    tool:\n      kind: http\n      ¦", {"url", "method", "timeout"}),
    "keys above the kind": ("workflow:\n  - step: a\n    tool:\n      ¦\n      kind: duckdb", {"query", "database"}),
    "keys of a task of a list": ("workflow:\n- step: a\n  tool:\n  - name: x\n    kind: python\n    ¦", {"code", "libs"}),
    "keys of a labelled task": ("workflow:\n- step: a\n  tool:\n  - x:\n      kind: python\n      ¦", {"code"}),
    "keys in brackets": ("workflow:\n  - step: a\n    tool: {kind: http, ¦", {"url", "headers"}),
    "keys of a rule": (
        "workflow:\n  - step: a\n    tool:\n      kind: noop\n      spec:\n        policy:\n          rules:\n            - ¦",
        {"when", "then", "else"},
    ),
    "kinds": ("workflow:\n  - step: a\n    tool:\n      kind: ¦", {"python", "http", "duckdb", "nats"}),
    "kinds in brackets": ("workflow:\n  - step: a\n    tool: {kind: py¦", {"python"}),
    "words": ("workflow:\n  - step: a\n    loop: {in: [1], spec: {mode: ¦", {"parallel", "sequential"}),
    "booleans": ("workflow:\n  - step: a\n    tool: {kind: http, url: x, verify_ssl: ¦", {"true", "false"}),
    "steps after next": (HEAD + "  - step: a\n    next: ¦" + REST, {"fetch", "last"}),
    "steps of arcs": (HEAD + "  - step: a\n    next:\n      arcs:\n        - step: ¦" + REST, {"fetch", "last"}),
    "steps in a list": (HEAD + "  - step: a\n    next: [fetch, ¦" + REST, {"fetch", "last"}),
    "the entry step": ("executor:\n  spec:\n    entry_step: ¦\nworkflow:\n  - step: a\n", {"a"}),
    "entries of the workbook": (HEAD + "  - step: a\n    tool: {kind: workbook, name: ¦" + REST, {"profile"}),
    "names of a template": (
        HEAD + '  - step: a\n    set: {ctx.x: "{{ ¦' + REST,
        {"workload", "ctx", "fetch", "region", "seen", "output"},
    ),
    "inputs": (HEAD + '  - step: a\n    input:\n      x: "{{ workload.¦ }}"' + REST, {"region"}),
    "variables": (HEAD + '  - step: a\n    input:\n      x: "{{ ctx.s¦ }}"' + REST, {"seen"}),
    "a result by its kind": (HEAD + '  - step: a\n    input: {x: "{{ fetch.¦ }}"}' + REST, {"status_code", "data"}),
    "a loop's result": (HEAD + '  - step: a\n    input: {x: "{{ last.¦ }}"}' + REST, {"results", "stats"}),
    "an envelope": (HEAD + '  - step: a\n    input: {x: "{{ steps.fetch.¦ }}"}' + REST, {"status", "attempts"}),
    "credentials": (HEAD + '  - step: a\n    input: {x: "{{ keychain.¦ }}"}' + REST, {"shop"}),
    "filters": (HEAD + '  - step: a\n    input: {x: "{{ ctx.seen | to¦ }}"}' + REST, {"tojson", "upper"}),
    "names over lines": (HEAD + "  - step: a\n    tool:\n      kind: duckdb\n      query: |\n        select {{ ¦" + REST, {"fetch"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_what_may_stand_there_is_offered(what: str) -> None:
    marked, wanted = CASES[what]

    assert wanted - set(offered(marked)) == set()


def test_a_key_that_is_there_is_not_offered_again() -> None:
    assert not {"kind", "url"} & set(
        offered("workflow:\n  - step: a\n    tool:\n      kind: http\n      ¦\n      url: x")
    )


def test_older_spellings_are_not_offered() -> None:
    keys = offered("workflow:\n  - step: a\n    tool:\n      kind: http\n      ¦")

    assert not {"args", "endpoint", "json", "credential"} & set(keys)


def test_a_step_key_is_not_offered_inside_its_tool() -> None:
    assert not {"loop", "next", "workflow"} & set(offered("workflow:\n  - step: a\n    tool:\n      ¦"))
