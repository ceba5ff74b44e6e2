"""What each name means at each place where a template may stand: one playbook, one expression in it, what it yields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.errors import InvalidPlaybook, ToolError
from noetl_stream.ports.tools import Call
from tests.worker.stage import Act, played

DOCUMENT = """
spec: {unit: EUR}
workload: {w: 1, one: of the workload, both: of the workload, a: of the workload, error: of the workload}
workflow:
- step: start
  tool: {kind: act, say: {n: 1}}
  set: {ctx.c: 2, ctx.both: of ctx}
  next: {arcs: [{step: a, args: {given: 7}}]}
- step: a
  input: {<step input>}
  tool:
  - one: {kind: act, say: {m: 3}, set: {mine: 5}}
  - two:
      kind: act
      say: <config>
      input: {<task input>}
      set: {<task set>}
      spec: {policy: {rules: [{else: {do: continue, set: {<rule>}}}]}}
  set: {<step set>}
  next: {arcs: [{step: last, args: {<args>}, set: {<arc set>}}]}
- step: last
  input: {<next input>}
  tool: {kind: act}
"""
SITES = {
    "step input": "seen: ",
    "config": "",
    "task input": "seen: ",
    "rule": "ctx.seen: ",
    "task set": "ctx.seen: ",
    "step set": "ctx.seen: ",
    "arc set": "ctx.seen: ",
    "args": "seen: ",
    "next input": "seen: ",
}
INSIDE = ("step input", "config", "task input", "rule", "task set")
BEFORE = ("config", "task input")
AFTER = ("step set", "arc set", "args")
OWN = ("rule", "task set")


async def read(expression: str, site: str, cache: Path, *, fails: bool = False) -> Any:
    """What an expression yields at a site. With `fails`, the second task fails and is continued."""
    filled = f'"{{{{ {expression} }}}}"'
    document = re.sub(r"<(.+?)>", lambda found: _filled(found[1], site, filled), DOCUMENT)

    def does(call: Call) -> Any:
        if fails and len(act.calls) == 3:
            raise ToolError("no such thing", kind="client_error", status=404, value={"k": 4})
        return call.config.say

    act = Act(does)
    stage = await played(document, LocalCache(cache), act)
    match site:
        case "config":
            return act.calls[2].config.say
        case "step input" | "task input":
            return act.calls[2].input["seen"]
        case "args" | "next input":
            return act.calls[3].input["seen"]
        case _:
            return stage.ctx["seen"]


def _filled(hole: str, site: str, expression: str) -> str:
    if hole == site:
        return SITES[site] + expression
    return "{k: 4}" if hole == "config" else ""


EVERYWHERE: Mapping[str, Any] = {
    "w": 1,
    "workload.one": "of the workload",
    "c": 2,
    "ctx.both": "of ctx",
    "both": "of ctx",
    "start.n": 1,
    "steps.start.status": "done",
    "steps.start.attempts": 1,
    "steps.start.error": None,
    "steps.start.n": 1,
    "steps.start.data": {"n": 1},
    "path": "sales",
    "version": 1,
    "spec.unit": "EUR",
    "job.uuid == execution_id and job.execution_id == execution_id": True,
    "0 < (execution_id | int) < 2 ** 63": True,
    "execution_id is string": True,
    "now() > ('2020-01-01T00:00:00+00:00' | todatetime)": True,
    "token() != token()": True,
    "nowhere.at.all": None,
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("expression", EVERYWHERE)
async def test_a_name_that_means_the_same_everywhere(expression: str, site: str, tmp_path: Path) -> None:
    assert await read(expression, site, tmp_path) == EVERYWHERE[expression]


@pytest.mark.parametrize(
    ("expression", "sites", "expected"),
    [
        ("output", ("step input", "next input"), None),
        ("output.status ~ output.data", BEFORE, "ok{'m': 3}"),
        ("output.m", BEFORE, 3),
        ("output.status ~ output.data", ("rule", *AFTER), "ok{'k': 4}"),
        ("output.response.k", ("rule", *AFTER), 4),
        ("output.k", (*OWN, *AFTER), 4),
        ("output", ("task set",), {"k": 4}),
        ("output.meta.attempt", ("config", "rule"), 1),
        ("output.error", (*BEFORE, "rule", *AFTER), None),
        ("result", ("step input", *BEFORE), {"n": 1}),
        ("response", ("step input", *BEFORE), {"n": 1}),
        ("result", (*OWN, *AFTER, "next input"), {"k": 4}),
        ("response", (*OWN, *AFTER, "next input"), {"k": 4}),
        ("input", ("step input", "config", "task input", *AFTER), {"given": 7}),
        ("one", ("config", "task input", *OWN), {"m": 3}),
        ("one", ("step input", *AFTER, "next input"), "of the workload"),
        ("two", OWN, {"k": 4}),
        ("mine", ("config", "task input", *OWN), 5),
        ("a", (*OWN, *AFTER, "next input"), {"k": 4}),
        ("a", ("step input", *BEFORE), "of the workload"),
        ("steps.a.status", ("next input",), "done"),
        ("event.name", (*OWN, *AFTER), "step.done"),
        ("event.name == 'call.done'", (*OWN, *AFTER), True),
        ("error", SITES, "of the workload"),
        ("loop_index", INSIDE, 0),
    ],
)
async def test_a_name_that_depends_on_its_place(
    expression: str, sites: tuple[str, ...], expected: Any, tmp_path: Path
) -> None:
    for index, site in enumerate(sites):
        assert await read(expression, site, tmp_path / str(index)) == expected, site


@pytest.mark.parametrize(
    ("expression", "sites", "expected"),
    [
        ("output.status", OWN, "error"),
        ("output.error.kind", OWN, "client_error"),
        ("output.error.status", OWN, 404),
        ("output.http.status", OWN, 404),
        ("output.data.k", OWN, 4),
        ("event.name", OWN, "step.failed"),
        ("event.name == 'call.error'", OWN, True),
        ("result", OWN, {"k": 4}),
        ("output.status", AFTER, "ok"),
        ("event.name", AFTER, "step.done"),
        ("result.status", (*AFTER, "next input"), "error"),
        ("a.error.kind", (*AFTER, "next input"), "client_error"),
        ("steps.a.status", ("next input",), "done"),
    ],
)
async def test_a_task_that_failed_and_was_continued_is_an_envelope_from_then_on(
    expression: str, sites: tuple[str, ...], expected: Any, tmp_path: Path
) -> None:
    for index, site in enumerate(sites):
        assert await read(expression, site, tmp_path / str(index), fails=True) == expected, site


@pytest.mark.parametrize("site", [*AFTER])
async def test_secrets_are_known_inside_a_block_only(site: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidPlaybook, match="'keychain' is known inside a block only"):
        await read("keychain.k", site, tmp_path)


FAILING = """
- step: broken
  tool: {kind: act, say: {}}
  set: {ctx.never: 1}
  next: {arcs: [{step: after, on: error, set: {ctx.seen: "{{ EXPRESSION }}"}}]}
- step: after
  tool: {kind: noop, result: {said: "{{ error.kind }}", undefined: "{{ error is undefined }}"}}
  next: later
- {step: later, tool: {kind: noop, result: {undefined: "{{ error is undefined }}"}}}
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("error.kind", "timeout"),
        ("error.retryable", True),
        ("error.step", "broken"),
        ("output.status", "error"),
        ("output.error.message", "too slow"),
        ("event.name", "step.failed"),
        ("event.name in ['call.error', 'x']", True),
        ("ctx.never is undefined", True),
        ("steps.broken is undefined", True),
    ],
)
async def test_a_failed_step_tells_its_arcs_and_the_step_behind_them_why(
    expression: str, expected: Any, tmp_path: Path
) -> None:
    def does(call: Call) -> Any:
        raise ToolError("too slow", kind="timeout", retryable=True)

    stage = await played(FAILING.replace("EXPRESSION", expression), LocalCache(tmp_path), Act(does))

    assert stage.ctx["seen"] == expected
    assert stage.results["after"] == {"said": "timeout", "undefined": False}
    assert stage.results["later"] == {"undefined": True}


LOOP = """
- step: each
  loop: {in: [a, b], iterator: letter}
  tool:
  - {kind: act, name: say, say: ["{{ letter }}", "{{ iter.letter }}", "{{ iter.index }}", "{{ iter._index }}",
     "{{ loop_index }}", "{{ iter.total }}"]}
  - {kind: noop, name: last, result: "{{ letter }}", set: {iter.x: "{{ iter.letter ~ '!' }}", ctx.seen: "{{ letter }}"}}
  set: {ctx.count: "{{ each.stats.success }}", ctx.first: "{{ each.results[0] }}", ctx.event: "{{ event.name }}",
    ctx.total: "{{ output.stats.total }}", ctx.status: "{{ each.status }}"}
"""


async def test_a_loop_binds_its_item_its_index_and_its_result(tmp_path: Path) -> None:
    stage = await played(LOOP, LocalCache(tmp_path))

    assert stage.act.said == [["a", "a", 0, 0, 0, 2], ["b", "b", 1, 1, 1, 2]]
    assert stage.ctx == {
        "seen": "b", "count": 2, "first": "a", "event": "loop.done", "total": 2, "status": "ok",
    }  # fmt: skip
