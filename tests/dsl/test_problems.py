"""What an author is told: every problem at once, each at its place, with the next step."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.errors import InvalidPlaybook
from tests.dsl.kinds import HEAD, KINDS, error, problems, warnings


def flow(step: str) -> str:
    """One step, whose first line is the fifth of the document."""
    lines = step.strip("\n").splitlines()
    return "workflow:\n- " + "\n  ".join(lines) + "\n"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (
            "step: load\ninptu: {a: 1}\ntool: {kind: noop}",
            "6:3: error: unknown key 'inptu' in step 'load'; did you mean 'input'?",
        ),
        (
            "step: load\nspec: {priority: hihg}\ntool: {kind: noop}",
            "6:20: error: key 'spec.priority' of step 'load' is one of high, normal, low; did you mean 'high'?",
        ),
        (
            "step: load\nurl: x\ntool: {kind: noop}",
            "6:3: error: key 'url' does not belong to step 'load'; move it under `tool` of step 'load'",
        ),
        (
            "step: load\nverify_ssl: true\ntool: {kind: noop}",
            "6:3: error: key 'verify_ssl' does not belong to step 'load'; move it under `tool` of step 'load'",
        ),
        (
            "step: load\ntool: {kind: pyton, code: x}",
            "6:16: error: unknown tool kind 'pyton' in the tool of step 'load'; did you mean 'python'?",
        ),
        (
            "step: load\ntool: {code: x}",
            "6:9: error: the tool of step 'load' needs a key 'kind'; write `kind: python`, `kind: http`, …",
        ),
        (
            "step: load\ntool: {kind: http, urll: x, url: y}",
            "6:22: error: unknown key 'urll' in the tool of step 'load'; did you mean 'url'?",
        ),
        ("step: load\ntool: {kind: http}", "6:9: error: the tool of step 'load' needs a key 'url'"),
        (
            "step: load\ntool: {kind: http, url: x, retries: many}",
            "6:39: error: key 'retries' of the tool of step 'load': input should be a valid integer, "
            "unable to parse string as an integer",
        ),
        (
            "step: load\ntool: {kind: http, url: x, headers: {a: [1]}}",
            "6:43: error: key 'headers.a' of the tool of step 'load': input should be a valid string",
        ),
        ("step: load\ntool: {kind: duckdb}", "6:9: error: the tool of step 'load': no sql command provided"),
        (
            "step: load\ntool: {kind: noop}\nnext: ende",
            "7:9: error: step 'load': arc to 'ende', which is no step",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: {arcs: [{step: laod, when: true}]}",
            "7:24: error: step 'load': arc to 'laod', which is no step; did you mean 'load'?",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: {arcs: [{when: true}]}",
            "7:17: error: key 'next.arcs[0]' of step 'load' needs a key 'step'",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: {arcs: [{step: load, on: eror}]}",
            "7:34: error: key 'next.arcs[0].on' of step 'load' is one of error; did you mean 'error'?",
        ),
        (
            "step: load\ntool: {kind: noop, spec: {policy: {rules: [{when: true, then: {do: jmp}}]}}}",
            "6:70: error: key 'spec.policy.rules[0].then.do' of the tool of step 'load' is one of "
            "continue, retry, jump, break, fail; did you mean 'jump'?",
        ),
        (
            "step: load\ntool:\n- a: {kind: noop, spec: {policy: {rules: [{else: {do: jump, to: b}}]}}}\n- aa: {kind: noop}",
            "7:67: error: task 'a' of step 'load': `jump` to 'b', which is no task here",
        ),
        (
            "step: load\ntool: {kind: noop, spec: {policy: {rules: [{else: {do: jump}}]}}}",
            "6:53: error: the tool of step 'load': `jump` needs `to`, a task's name",
        ),
        (
            "step: load\ntool: {kind: noop, spec: {policy: {rules: [{then: {do: fail}}]}}}",
            "6:46: error: the tool of step 'load': a rule has `when` or `else`",
        ),
        (
            "step: load\ntool:\n- a: {kind: noop}\n- {name: a, kind: noop}",
            "8:5: error: step 'load' has two tasks named 'a'; rename one of them",
        ),
        ("step: load\ntool: [3]", "6:10: error: task 'task_0' of step 'load' is a mapping with a `kind`, not a number"),
        ("step: load\ntool: noop", "6:9: error: key 'tool' of step 'load' cannot be text"),
        (
            "step: load\ntool: {kind: noop}\nnext: [{step: load, when: '{{ rset }}'}]",
            "7:29: error: step 'load', key 'next[0].when': unknown name 'rset'; did you mean 'result'?",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: [{step: load, when: '{{ resul.x }}'}]",
            "7:29: error: step 'load', key 'next[0].when': unknown name 'resul'; did you mean 'result'?",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: [{step: load, when: '{{ a b }}'}]",
            "7:29: error: step 'load', key 'next[0].when': expected token 'end of print statement', got 'b' in `{{ a b }}`",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: [{step: load, when: '{{ keychain.x }}'}]",
            "7:29: error: step 'load', key 'next[0].when': 'keychain' is known inside a block only; read it in the tool",
        ),
        (
            "step: load\ntool: {kind: noop}\nnext: [{step: load, when: {a: 1}}]",
            "7:29: error: key 'next[0].when' of step 'load' cannot be a mapping",
        ),
        (
            "step: load\ntool: {kind: noop}\nset: {ctx.a: '{{ a b }}'}",
            "7:16: error: step 'load', key 'set.ctx.a': expected token 'end of print statement', got 'b' in `{{ a b }}`",
        ),
        (
            "step: load\ntool: {kind: noop}\nset: {cxt.a: 1}",
            "7:9: error: step 'load': `set` cannot write 'cxt.a'; write 'ctx.name', 'iter.name', 'step.name' or a plain name",
        ),
        (
            "step: load\ninput: {a: '{{ x.pop() }}'}\ntool: {kind: noop}",
            "6:14: error: step 'load', key 'input.a': a value cannot be called; use a filter, as in "
            "`x | get('key')` in `{{ x.pop() }}`",
        ),
        ("step: load\nloop: {iterator: x}\ntool: {kind: noop}", "6:9: error: step 'load': a loop needs `in`; write `in: \"{{ … }}\"`"),
        (
            "step: load\nloop: {in: [1]}\nnext: load",
            "6:9: error: step 'load' has a loop but no tool to repeat; give it a `tool`",
        ),
        (
            "step: load\nloop: {in: [1], spec: {max_in_flight: 0}}\ntool: {kind: noop}",
            "6:41: error: step 'load': `max_in_flight` is at least 1",
        ),
        (
            "step: load\nloop: {in: [1], spec: {max_in_flight: many}}\ntool: {kind: noop}",
            "6:41: error: key 'loop.spec.max_in_flight' of step 'load' is a number, not text",
        ),
        (
            "step: load\nspec: {join: some}\ntool: {kind: noop}",
            "6:16: error: key 'spec.join' of step 'load' is one of all, any",
        ),
        (
            "step: load\ntool:\n- {kind: noop, pool: a}\n- {kind: noop, pool: b}",
            "7:24: error: step 'load': a pipeline runs in one pool, not in a, b; split it into steps",
        ),
        (
            "step: load\ntool: {kind: noop, pool: '{{ ctx.p }}'}",
            "6:28: error: step 'load': a worker pool is named literally",
        ),
        (
            "step: load\ntool: {kind: noop, timeout: soon}",
            "6:31: error: key 'timeout' of the tool of step 'load' is a number, not text",
        ),
        (
            "step: load\nspec: {policy: {admit: {rules: [{when: true, then: {allow: '{{ x }}'}}]}}}\ntool: {kind: noop}",
            "6:62: error: step 'load', key 'spec.policy.admit.rules[0].allow': unknown name 'x'",
        ),
        (
            "step: load\nspec: {policy: {admit: {rules: [{when: true, then: {allow: maybe}}]}}}\ntool: {kind: noop}",
            "6:62: error: key 'spec.policy.admit.rules[0].then.allow' of step 'load' is true or false, not text",
        ),
        (
            "step: load\ntool: {kind: workbook, name: nope}",
            "6:32: error: step 'load' calls workbook 'nope', which does not exist",
        ),
        ("step: load\ndesc: [1]\ntool: {kind: noop}", "6:9: error: key 'desc' of step 'load' is text, not a list"),
        ("step: load\ninput: 3\ntool: {kind: noop}", "6:10: error: key 'input' of step 'load' is a mapping, not a number"),
        ("step: load\nexpect: {checks: a}\ntool: {kind: noop}", "6:20: error: key 'expect.checks' of step 'load' is a list, not text"),
        ("step: load\ntool: {kind: noop}\nexpect: {rows: {min: true}}", "7:24: error: key 'expect.rows.min' of step 'load' is a number, not a boolean"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_step_is_told_at_its_place(step: str, problem: str) -> None:
    found = [str(each) for each in problems(flow(step))]

    assert f"sales.yaml:{problem}" in found


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("workflow: []\n", "4:11: error: `workflow` has no steps; write `- step: start`"),
        ("workflow:\n- {tool: {kind: noop}}\n", "5:3: error: a step is a mapping with a key 'step'"),
        (
            "workflow:\n- {step: a, tool: {kind: noop}, next: a}\n- {step: a, tool: {kind: noop}}\n",
            "6:10: error: there are two steps named 'a'; rename one of them",
        ),
        (
            "worflow: []\n" + flow("step: a\ntool: {kind: noop}"),
            "4:1: error: unknown key 'worflow' in the playbook; did you mean 'workflow'?",
        ),
        (
            "executor: {spec: {entry_step: b}}\n" + flow("step: a\ntool: {kind: noop}"),
            "4:31: error: `entry_step` is 'b', which is no step",
        ),
        (
            "executor: {spec: {final_step: b}}\n" + flow("step: a\ntool: {kind: noop}"),
            "4:31: error: `final_step` is 'b', which is no step",
        ),
        (
            "executor: {requires: {tools: [pyton]}}\n" + flow("step: a\ntool: {kind: noop}"),
            "4:31: error: the required tool 'pyton' is unknown; did you mean 'python'?",
        ),
        (
            "policy: {deadline: soon}\n" + flow("step: a\ntool: {kind: noop}"),
            "4:20: error: key 'policy.deadline' of the playbook is a number of seconds or a text like '15m'",
        ),
        (
            "workbook: [{name: w, tool: {kind: workbook, name: w}}]\n"
            + flow("step: a\ntool: {kind: workbook, name: w}"),
            "4:51: error: step 'a': workbook 'w' calls itself (w → w); break the circle",
        ),
        (
            "workbook: [{name: w, tool: {kind: noop}, assert: {expects: [x]}}]\n"
            + flow("step: a\ntool: {kind: workbook, name: w}"),
            "7:9: error: step 'a': its workbook expects the input 'x'; give 'x'",
        ),
        (
            "workload: {a: '{{ keychain.k }}'}\n" + flow("step: a\ntool: {kind: noop}"),
            "4:15: error: workload, key 'a': 'keychain' is known inside a block only; read it in the tool",
        ),
    ],
)
def test_a_mistake_in_the_document_is_told_at_its_place(body: str, problem: str) -> None:
    assert f"sales.yaml:{problem}" in [str(each) for each in problems(body)]


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("apiVersion: noetl.io/v3\nkind: Playbook\nmetadata: {name: a}\n", "1:13: error: key 'apiVersion' of the playbook is one of noetl.io/v2; did you mean 'noetl.io/v2'?"),
        ("apiVersion: noetl.io/v2\nkind: Playbok\nmetadata: {name: a}\n", "2:7: error: key 'kind' of the playbook is one of Playbook; did you mean 'Playbook'?"),
        ("apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {path: a}\n", "3:11: error: key 'metadata' of the playbook needs a key 'name'"),
        ("apiVersion: noetl.io/v2\nkind: Playbook\n", "1:1: error: the playbook needs a key 'metadata'"),
    ],
)  # fmt: skip
def test_a_head_that_is_wrong_is_told(head: str, problem: str) -> None:
    body = flow("step: a\ntool: {kind: noop}")

    assert f"sales.yaml:{problem}" in [str(each) for each in problems(body, head=head)]


def test_all_problems_are_listed_in_document_order() -> None:
    body = (
        "extra: 1\nworkflow:\n- step: a\n  inptu: 1\n  tool: {kind: pyton}\n  next: nowhere\n"
        "- step: a\n  tool: {kind: noop}\n"
    )

    found = [(each.line, each.column) for each in problems(body)]

    assert found == [(4, 1), (7, 3), (8, 16), (9, 9), (10, 9)]


def test_a_subscription_is_no_playbook() -> None:
    text = (
        "apiVersion: noetl.io/v1\nkind: Subscription\nmetadata: {name: s}\n"
        "spec: {source: kafka, topic: t, dispatch: {playbook: p}}\n"
    )

    assert error("", head=text) == (
        "sales.yaml:2:7: error: this is a subscription, which is not run itself: it starts a playbook for what it reads; "
        "store it with `noetl-stream register FILE`, and run the playbook of its `dispatch`"
    )


def test_an_error_says_all_in_one_line() -> None:
    body = flow("step: load\ninptu: {a: 1}\ntool: {kind: noop}")

    assert error(body) == ("sales.yaml:6:3: error: unknown key 'inptu' in step 'load'; did you mean 'input'?")


@pytest.mark.parametrize(
    ("step", "warning"),
    [
        ("step: a\nargs: {x: 1}\ntool: {kind: noop}", "6:3: warning: 'args' in step 'a' is an older spelling; write 'input'"),
        ("step: a\noutput: {store: {kind: cache}}\ntool: {kind: noop}", "6:3: warning: 'output' in step 'a' is an older spelling; write 'result'"),
        ("step: a\nresult: {store: {kind: cache}}\ntool: {kind: noop}", "6:26: warning: 'cache' in step 'a' is an older spelling; write 'kv'"),
        ("step: a\ntool: {kind: noop, args: {x: 1}}", "6:22: warning: 'args' in the tool of step 'a' is an older spelling; write 'input'"),
        ("step: a\ntool: {kind: noop, payload: {x: 1}}", "6:22: warning: 'payload' in the tool of step 'a' is an older spelling; write 'input'"),
        ("step: a\ntool: {kind: noop, credential: x}", "6:22: warning: 'credential' in the tool of step 'a' is an older spelling; write 'auth'"),
        ("step: a\ntool: {kind: noop, timeout_seconds: 3}", "6:22: warning: 'timeout_seconds' in the tool of step 'a' is an older spelling; write 'timeout'"),
        ("step: a\ntool: {kind: gcs, path: x}", "6:16: warning: 'gcs' in the tool of step 'a' is an older spelling; write 'object'"),
        ("step: a\ntool: {kind: http, endpoint: x}", "6:22: warning: 'endpoint' in the tool of step 'a' is an older spelling; write 'url'"),
        ("step: a\ntool: {kind: noop, retry: {attempts: 2}}", "6:30: warning: 'attempts' in `retry` of the tool of step 'a' is an older spelling; write 'max_attempts'"),
        ("step: a\ntool: {kind: noop, retry: {backoff: none}}", "6:39: warning: 'none' in the tool of step 'a' is an older spelling; write 'fixed'"),
        ("step: a\ntool: {kind: noop, spec: {policy: {rules: [{cond: true, then: {do: fail}}]}}}", "6:47: warning: 'cond' in a rule of the tool of step 'a' is an older spelling; write 'when'"),
        ("step: a\ntool: {kind: noop}\nnext: [{step: a, cond: true}]", "7:20: warning: 'cond' in an arc of step 'a' is an older spelling; write 'when'"),
        ("step: a\ntool: {kind: noop}\nnext: {step: a, input: {x: 1}}", "7:19: warning: 'input' in an arc of step 'a' is an older spelling; write 'args'"),
        ("step: a\ntool: {kind: noop}\nnext: {arcs: [{step: a, cond: true}]}", "7:27: warning: 'cond' in an arc of step 'a' is an older spelling; write 'when'"),
        ("step: a\ntool: {kind: snowflake, query: select 1}", "6:16: warning: the tool of step 'a': tool kind 'snowflake' is not installed; pip install 'noetl-stream[snowflake]'"),
        ("step: a\ntool: {kind: ducklake, query: select 1}", "6:16: warning: the tool of step 'a': tool kind 'ducklake' is not installed; pip install 'noetl-stream[ducklake]'"),
        ("step: a\ndesc: x", "5:3: warning: step 'a' has neither `tool` nor `next`; write `tool: {kind: noop}`"),
        ("step: a\ntool: {kind: http, url: '{{ nam }}'}", "6:27: warning: the tool of step 'a', key 'url': unknown name 'nam'"),
        ("step: a\ntool: {kind: http, url: '{{ a b }}'}", "6:27: warning: the tool of step 'a', key 'url': kept as written, since Jinja says: expected token 'end of print statement', got 'b'"),
        ("step: a\ntool: {kind: noop, spec: {timeout: {connect: 5, read: 15}}}", "6:38: warning: a timeout of parts in `spec` of the tool of step 'a' is their sum; write 'timeout: 20'"),
        ("step: a\ntool: {kind: noop}\nnext: [{step: a, when: 'ctx.x > 3'}]", "7:26: warning: step 'a': this condition is always true, as it has no template; write '{{ ctx.x > 3 }}'"),
        ("step: a\ntool: {kind: noop}\nnext: {arcs: [{step: a}, {step: a, when: true}]}", "7:28: warning: step 'a': an arc without `when` stands before this one, which is never taken; give the earlier arc a `when`, or write `mode: inclusive`"),
        ("step: load\ntool: {kind: noop}\nset: {total: 1}", "7:9: warning: step 'load': 'total' names no scope, so only the arcs of this step can read it; write 'ctx.total'"),
        ("step: a\nloop: {cursor: {kind: postgres, claim: x}, spec: {frame: {max_bytes: 9}}}\ntool: {kind: noop}", "6:72: warning: step 'a': `max_bytes` cuts the frames of a claim, but here each row is handed on by itself; write `process: frame`"),
        ("step: a\nresult: {store: {kind: kv, driver: x}}\ntool: {kind: noop}", "6:38: warning: step 'a': `result.store.driver` is kept, but nothing acts on it yet in this version; do not rely on it"),
        ("step: a\nspec: {effects: at_most_once}\ntool: {kind: noop, retry: 2}", "7:9: warning: the tool of step 'a' runs `at_most_once`, so that its `retry` counts as `fail`; remove one of them"),
        ("step: a\nresult: {scope: global}\ntool: {kind: noop}", "6:19: warning: key 'result.scope' of step 'a' is 'global', but every result is its execution's own; write `scope: execution`"),
        ("step: a\ntool: {kind: noop, output: {output_select: {strategy: best}}}", "6:57: warning: the tool of step 'a': the strategy 'best' of `output_select` is kept, but nothing acts on it; name the fields: `output_select: [field, …]`"),
        ("step: a\nloop: {in: [1], spec: {mode: parallel}}\ntool: {kind: noop, set: {ctx.x: 1, ctx.y: 2}}", "7:9: warning: step 'a': parallel iterations write ctx.x, ctx.y; the last index wins; write `iter.…` and read the loop's results"),
        ("step: a\ninput: {x: \"{{ workload.get('n') }}\"}\ntool: {kind: noop}", "6:14: warning: step 'a', key 'input.x': values have no methods; write `| get` in place of `.get()`"),
    ],
)  # fmt: skip
def test_an_older_spelling_or_a_doubtful_one_is_a_warning(step: str, warning: str) -> None:
    assert f"sales.yaml:{warning}" in warnings(flow(step))


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ("keychain: [{name: k, kind: secrets}]\n", "4:28: warning: 'secrets' in the keychain is an older spelling; write 'secret_manager'"),
        ("keychain: [{name: k, kind: static}]\n", "4:19: warning: credential 'k' is never used; remove it"),
        ("policy: {access: {roles: [a]}}\n", "4:26: warning: the playbook: `policy.access.roles` is kept, but any role may ask until there is a gateway; do not rely on it"),
        ("executor: {requires: {features: [magic]}}\n", "4:34: warning: the required feature 'magic' is not known here"),
        ("workload: {a: '{{ nowhere }}'}\n", "4:15: warning: workload, key 'a': unknown name 'nowhere'; did you mean 'now'?"),
    ],
)  # fmt: skip
def test_a_doubtful_document_is_a_warning(body: str, warning: str) -> None:
    assert f"sales.yaml:{warning}" in warnings(body + flow("step: a\ntool: {kind: noop}"))


def test_a_step_that_nothing_leads_to_is_a_warning() -> None:
    body = "workflow:\n- {step: a, tool: {kind: noop}}\n- {step: b, tool: {kind: noop}, next: a}\n"

    assert warnings(body) == ["sales.yaml:6:10: warning: step 'b' is never reached; lead an arc to it"]


def test_a_used_credential_is_not_reported() -> None:
    body = "keychain: [{name: pg_main, kind: static}]\n" + flow("step: a\ntool: {kind: noop, auth: pg_main}")

    assert not any("never used" in each for each in warnings(body))


WORDS = st.sampled_from(
    ["step", "tool", "kind", "loop", "in", "next", "arcs", "when", "set", "spec", "policy", "rules", "then", "do",
     "noop", "python", "{{ ctx.x }}", "{{ x", "else", "retry", "start", "input", "name", "workbook", "on_error"]
)  # fmt: skip
SHAPES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-1, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, SHAPES, max_size=6), SHAPES)
def test_no_shape_of_a_step_breaks_the_compiler(step: dict[str, object], book: object) -> None:
    """Whatever an author writes, there is a plan or a list of problems."""
    document = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": "m"},
        "workflow": [{"step": "start", "tool": {"kind": "noop"}, **step}, step],
        "workbook": book,
    }
    try:
        found: object = compile_playbook(json.dumps(document), file="f.yaml", kinds=KINDS).plan.steps
    except InvalidPlaybook as error:
        found = error.problems
    assert found


class TestPools:
    """A missing pool is never replaced by another: that is how an ancestor ran jobs where nobody looked."""

    def test_a_pool_that_does_not_exist_is_an_error_at_its_place(self) -> None:
        text = HEAD + flow("step: load\ntool: {kind: noop, pool: cup}")

        with pytest.raises(InvalidPlaybook) as refused:
            compile_playbook(text, file="sales.yaml", kinds=KINDS, pools=("default", "cpu"))

        (problem,) = refused.value.problems
        assert str(problem).endswith("error: step 'load': there is no worker pool 'cup'; did you mean 'cpu'?")
        assert (problem.line, problem.column) == (6, 28)

    def test_pools_that_nobody_knows_are_not_checked(self) -> None:
        compiled = compile_playbook(
            HEAD + flow("step: load\ntool: {kind: noop, pool: cup}"), file="sales.yaml", kinds=KINDS
        )

        assert compiled.plan.steps["load"].pool == "cup"
