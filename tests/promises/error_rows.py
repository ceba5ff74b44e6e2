"""What the language refuses, doubts and fails at, one row each: the document, its exact sentence, its place.

A document is what follows the head of three lines; a `step` is its only one, whose first line is the fifth of the file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """`told` is the whole line that an author reads, or of a `played` row the sentence of the execution's error."""

    id: str
    document: str
    told: str


def step(text: str) -> str:
    lines = text.strip("\n").splitlines()
    return "workflow:\n- " + "\n  ".join(lines) + "\n"


NOOP = "tool: {kind: noop}"
JUMPS = "{kind: noop, spec: {policy: {rules: [{else: {do: jump, to: loda}}]}}}"

REFUSED = (
    ErrorRow("unknown key", step(f"step: load\ninptu: {{a: 1}}\n{NOOP}"), "6:3: error: unknown key 'inptu' in step 'load'; did you mean 'input'?"),
    ErrorRow("unknown kind", step("step: load\ntool: {kind: pyton}"), "6:16: error: unknown tool kind 'pyton' in the tool of step 'load'; did you mean 'python'?"),
    ErrorRow("dangling arc", step(f"step: load\n{NOOP}\nnext: laod"), "7:9: error: step 'load': arc to 'laod', which is no step; did you mean 'load'?"),
    ErrorRow("dangling on_error", step(f"step: load\n{NOOP}\non_error: {{step: laod}}"), "7:20: error: step 'load': arc to 'laod', which is no step; did you mean 'load'?"),
    ErrorRow("duplicate step", f"workflow:\n- {{step: a, {NOOP}, next: a}}\n- {{step: a, {NOOP}}}\n", "6:10: error: there are two steps named 'a'; rename one of them"),
    ErrorRow("duplicate task", step("step: load\ntool:\n- a: {kind: noop}\n- a: {kind: noop}"), "8:8: error: step 'load' has two tasks named 'a'; rename one of them"),
    ErrorRow("duplicate workbook entry", f"workbook: [{{name: w, {NOOP}}}, {{name: w, {NOOP}}}]\n" + step("step: a\ntool: {kind: workbook, name: w}"), "4:50: error: there are two workbook entries named 'w'; rename one of them"),
    ErrorRow("duplicate key", step(f"step: load\n{NOOP}\n{NOOP}"), "7:3: error: duplicate key 'tool', first at line 6; keep one of them"),
    ErrorRow("jump to no label", step(f"step: a\ntool:\n- load: {JUMPS}"), "7:70: error: task 'load' of step 'a': `jump` to 'loda', which is no task here; did you mean 'load'?"),
    ErrorRow("key of a tool on the step", step(f"step: load\nurl: x\n{NOOP}"), "6:3: error: key 'url' does not belong to step 'load'; move it under `tool` of step 'load'"),
    ErrorRow("required tool", "executor: {requires: {tools: [pyton]}}\n" + step(f"step: a\n{NOOP}"), "4:31: error: the required tool 'pyton' is unknown; did you mean 'python'?"),
    ErrorRow("entry step", "executor: {spec: {entry_step: strat}}\n" + step(f"step: start\n{NOOP}"), "4:31: error: `entry_step` is 'strat', which is no step; did you mean 'start'?"),
    ErrorRow("unknown workbook", "workbook: [{name: load, tool: {kind: noop}}]\n" + step("step: a\ntool: {kind: workbook, name: laod}"), "7:32: error: step 'a' calls workbook 'laod', which does not exist; did you mean 'load'?"),
    ErrorRow("workbook in a circle", "workbook: [{name: v, tool: {kind: workbook, name: w}}, {name: w, tool: {kind: workbook, name: v}}]\n" + step("step: a\ntool: {kind: workbook, name: v}"), "4:95: error: step 'a': workbook 'v' calls itself (v → w → v); break the circle"),
    ErrorRow("workbook expects", "workbook: [{name: w, tool: {kind: noop}, assert: {expects: [x]}}]\n" + step("step: a\ntool: {kind: workbook, name: w}"), "7:9: error: step 'a': its workbook expects the input 'x'; give 'x'"),
    ErrorRow("no sql command", step("step: a\ntool: {kind: duckdb}"), "6:9: error: the tool of step 'a': no sql command provided"),
    ErrorRow("unknown root in a condition", step(f"step: load\n{NOOP}\nnext: [{{step: load, when: '{{{{ resul.x }}}}'}}]"), "7:29: error: step 'load', key 'next[0].when': unknown name 'resul'; did you mean 'result'?"),
    ErrorRow("unparsable condition", step(f"step: a\n{NOOP}\nnext: [{{step: a, when: '{{{{ a b }}}}'}}]"), "7:26: error: step 'a', key 'next[0].when': expected token 'end of print statement', got 'b' in `{{ a b }}`"),
    ErrorRow("unparsable set", step(f"step: a\n{NOOP}\nset: {{ctx.x: '{{{{ a b }}}}'}}"), "7:16: error: step 'a', key 'set.ctx.x': expected token 'end of print statement', got 'b' in `{{ a b }}`"),
    ErrorRow("unparsable in", step(f"step: a\nloop: {{in: '{{{{ a b }}}}'}}\n{NOOP}"), "6:14: error: step 'a', key 'loop.in': expected token 'end of print statement', got 'b' in `{{ a b }}`"),
    ErrorRow("unparsable input", step("step: a\ntool: {kind: noop, input: {x: '{{ a b }}'}}"), "6:33: error: the tool of step 'a', key 'input.x': expected token 'end of print statement', got 'b' in `{{ a b }}`"),
    ErrorRow("unknown filter", step(f"step: a\ninput: {{x: '{{{{ a | uper }}}}'}}\n{NOOP}"), "6:14: error: step 'a', key 'input.x': there is no filter 'uper'; did you mean 'upper'? in `{{ a | uper }}`"),
    ErrorRow("scope of a set", step(f"step: a\n{NOOP}\nset: {{cxt.x: 1}}"), "7:9: error: step 'a': `set` cannot write 'cxt.x'; write 'ctx.name', 'iter.name', 'step.name' or a plain name"),
    ErrorRow("keychain outside a block", step(f"step: a\n{NOOP}\nset: {{ctx.x: '{{{{ keychain.k }}}}'}}"), "7:16: error: step 'a', key 'set.ctx.x': 'keychain' is known inside a block only; read it in the tool"),
    ErrorRow("loop over nothing", step(f"step: a\nloop: {{iterator: x}}\n{NOOP}"), "6:9: error: step 'a': a loop needs `in`; write `in: \"{{ … }}\"`"),
    ErrorRow("cursor without a claim", step(f"step: a\nloop: {{cursor: {{kind: duckdb}}}}\n{NOOP}"), "6:18: error: key 'loop.cursor' of step 'a' needs a key 'claim'"),
    ErrorRow("word of a choice", step(f"step: a\nloop: {{in: [1], spec: {{mode: paralel}}}}\n{NOOP}"), "6:32: error: key 'loop.spec.mode' of step 'a' is one of sequential, parallel, cursor; did you mean 'parallel'?"),
    ErrorRow("contract", step(f"step: a\n{NOOP}\nexpect: {{schema: {{x: intt}}}}"), "7:24: error: step 'a': column 'x' has the unknown type 'intt'; did you mean 'int'?"),
    ErrorRow("alias inside itself", "a: &a [*a]\n", "4:4: error: values nest more than 100 deep (an alias inside itself?)"),
    ErrorRow("aliases by tens", "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(f"{n}: &{n} [{', '.join(['*' + b] * 10)}]\n" for b, n in zip("abcd", "bcde", strict=True)), "4:23: error: the document expands to more than 100000 values"),
    ErrorRow("number of a template", step(f"step: a\ninput: {{x: '{{{{ 1e999 }}}}'}}\n{NOOP}"), "6:14: error: step 'a', key 'input.x': it holds a number of more than 10000 bits in `{{ 1e999 }}`"),
)  # fmt: skip
"""Errors: the document does not compile."""

DOUBTED = (
    ErrorRow("older spelling", step(f"step: a\nargs: {{x: 1}}\n{NOOP}"), "6:3: warning: 'args' in step 'a' is an older spelling; write 'input'"),
    ErrorRow("unreachable step", f"workflow:\n- {{step: a, {NOOP}}}\n- {{step: b, {NOOP}}}\n", "6:10: warning: step 'b' is never reached; lead an arc to it"),
    ErrorRow("unused credential", "keychain: [{name: k, kind: static}]\n" + step(f"step: a\n{NOOP}"), "4:19: warning: credential 'k' is never used; remove it"),
    ErrorRow("kind whose extra is not installed", step("step: a\ntool: {kind: snowflake, query: select 1}"), "6:16: warning: the tool of step 'a': tool kind 'snowflake' is not installed; pip install 'noetl-stream[snowflake]'"),
    ErrorRow("unknown feature", "executor: {requires: {features: [magic]}}\n" + step(f"step: a\n{NOOP}"), "4:34: warning: the required feature 'magic' is not known here"),
    ErrorRow("step that does nothing", step("step: a\ndesc: x"), "5:3: warning: step 'a' has neither `tool` nor `next`; write `tool: {kind: noop}`"),
    ErrorRow("unknown root elsewhere", step("step: a\ntool: {kind: http, url: '{{ nam }}'}"), "6:27: warning: the tool of step 'a', key 'url': unknown name 'nam'"),
    ErrorRow("unparsable text elsewhere", step("step: a\ntool: {kind: http, url: '{{ a b }}'}"), "6:27: warning: the tool of step 'a', key 'url': kept as written, since Jinja says: expected token 'end of print statement', got 'b'"),
    ErrorRow("template in code", "workload: {n: 1}\n" + step("step: a\ntool: {kind: python, code: 'x = {{ workload.n }}'}"), "7:30: warning: the tool of step 'a': a template in `code` is replaced by its text; use `input`"),
    ErrorRow("ctx from parallel iterations", step("step: a\nloop: {in: [1], spec: {mode: parallel}}\ntool: {kind: noop, set: {ctx.x: 1}}"), "7:9: warning: step 'a': parallel iterations write ctx.x; the last index wins; write `iter.…` and read the loop's results"),
)  # fmt: skip
"""Warnings: it compiles all the same, except under `validate --strict`."""

PLAYED = (
    ErrorRow("input", '- {step: a, input: {x: "{{ 1 / workload.n }}"}, tool: {kind: act}}', "step 'a', key 'input.x' (sales.yaml:5:24): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("config", '- {step: a, tool: {kind: act, say: "{{ workload.password + 1 }}"}}', "the tool of step 'a', key 'say' (sales.yaml:5:36): can only concatenate str (not \"int\") to str in `{{ workload.password + 1 }}`"),
    ErrorRow("computed key", '- {step: a, tool: {kind: act, say: "{{ workload.table[workload.password] + 1 }}"}}', "the tool of step 'a', key 'say' (sales.yaml:5:36): what it looks up is undefined in `{{ workload.table[workload.password] + 1 }}`"),
    ErrorRow("rule", '- {step: a, tool: {kind: act, spec: {policy: {rules: [{when: "{{ 1 / workload.n }}", then: {do: fail}}]}}}}', "the tool of step 'a', key 'spec.policy.rules[0].when' (sales.yaml:5:62): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("set of a step", '- {step: a, tool: {kind: act}, set: {ctx.x: "{{ 1 / workload.n }}"}}', "step 'a', key 'set.ctx.x' (sales.yaml:5:45): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("set of a task", '- {step: a, tool: {kind: act, set: {x: "{{ 1 / workload.n }}"}}}', "the tool of step 'a', key 'set.x' (sales.yaml:5:40): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("arc", '- {step: a, tool: {kind: act}, next: [{step: a, when: "{{ 1 / workload.n }}"}]}', "step 'a', key 'next[0].when' (sales.yaml:5:55): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("admission", '- {step: a, tool: {kind: act}, spec: {policy: {admit: {rules: [{when: "{{ 1 / workload.n }}", then: {allow: true}}]}}}}', "step 'a', key 'spec.policy.admit.rules[0].when' (sales.yaml:5:71): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("in is null", '- {step: a, loop: {in: "{{ workload.none }}"}, tool: {kind: act}}', "step 'a', key 'loop.in' (sales.yaml:5:24): a loop goes over a list, a mapping or a number, not null in `{{ workload.none }}`"),
    ErrorRow("in is no list", '- {step: a, loop: {in: "{{ workload.password }}"}, tool: {kind: act}}', "step 'a', key 'loop.in' (sales.yaml:5:24): a loop goes over a list; this text is no JSON in `{{ workload.password }}`"),
    ErrorRow("bound of a loop", '- {step: a, loop: {in: [1], spec: {mode: parallel, max_in_flight: "{{ workload.password }}"}}, tool: {kind: act}}', "step 'a', key 'loop.spec.max_in_flight' (sales.yaml:5:67): it yields no number in `{{ workload.password }}`"),
    ErrorRow("while", '- {step: a, loop: {while: "{{ 1 / workload.n }}"}, tool: {kind: act}}', "step 'a', key 'loop.while' (sales.yaml:5:27): division by zero in `{{ 1 / workload.n }}`"),
    ErrorRow("no arc matches", "- {step: a, tool: {kind: act}, next: {spec: {on_no_match: fail}, arcs: [{step: a, when: false}]}}", "no arc of step 'a' matches"),
    ErrorRow("pattern", '- {step: a, tool: {kind: act, say: "{{ \'x\' | regex_search(workload.password) }}"}}', "the tool of step 'a', key 'say' (sales.yaml:5:36): the pattern is not accepted in `{{ 'x' | regex_search(workload.password) }}`"),
    ErrorRow("bomb", '- {step: a, tool: {kind: act, say: "{{ range(10**9) | list }}"}}', "the tool of step 'a', key 'say' (sales.yaml:5:36): it makes more than 100000 elements in `{{ range(10**9) | list }}`"),
)  # fmt: skip
"""Failures while it runs, over `PAYLOAD`: each with kind `validation`, naming step, key and expression, never a value."""
PAYLOAD = {"n": 0, "password": "hunter2(", "table": {}, "none": None}
