"""Small texts that would take for ever or fill the memory: each stops at its bound, in bounded time, with a reason."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.dsl.templates import BadTemplate, template
from noetl_stream.errors import ExpressionError
from tests.dsl.expressions import outcome
from tests.worker.stage import played

SECONDS = 10.0
"""Processor time of one evaluation: ten times what the slowest takes where nothing else runs."""
MEBIBYTES = 400
"""How far one evaluation may raise the peak of the process."""

SCOPE: dict[str, Any] = {
    "x": "text",
    "xs": [1, 2],
    "d": {"a": 1},
    "text": "a" * 200_000,
    "many": list(range(100_000)),
    "words": [f"word {i}" for i in range(100_000)],
    "wide": {str(i): i for i in range(100_000)},
    "rows": [{"a": i} for i in range(5_000)],
    "loop": None,
}
TWINS = (
    "{% set n = namespace(l=(1,), m=(1,)) %}"
    "{% for i in range(90) %}{% set n.l = (n.l, n.l) %}{% set n.m = (n.m, n.m) %}{% endfor %}"
)
"""Two equal values of 2**90 leaves, in 180 tuples."""
EACH = "{% for i in range(100000) %}"
END = "{% endfor %}"

DEEP = [
    "{{ n.l | string }}", "{{ n.l ~ '' }}", "x{{ n.l }}", "{{ n.l | tojson }}", "{{ n.l }}",
    "{{ n.l | upper }}", "{{ n.l | e }}", "{{ n.l | replace('a', 'b') }}", "{{ x | replace('a', n.l) }}",
    "{{ n.l | regex_search('a') }}", "{{ n.l | sha256 }}", "{{ n.l | b64encode }}", "{{ n.l | center(3) }}",
    "{{ n.l | todatetime }}", "{{ n.l | int }}", "{{ [1] | join(n.l) }}", "{{ [n.l] | join }}",
    "{{ [n.l] | map('string') | list }}", "{{ n.l | urlencode }}", "{{ n.l | striptags }}",
    "{{ {n.l: 1} }}", "{{ d[n.l] }}", "{{ xs[n.l] }}", "{{ d | get(n.l) }}", "{{ dict([(n.l, 1)]) }}",
    "{{ n.l in d }}", "{{ n.m in [n.l] }}", "{{ [n.l, n.m] | unique | list | length }}", "{{ n.l == n.m }}",
    "{{ [n.l] | select('eq', n.m) | list }}", "{{ [n.l, n.m] | max }}", "{{ [{'a': n.l}] | groupby('a') }}",
    "{{ [n.l] | map(attribute=n.m) | list }}", "{{ [{'a': 1}, {'a': 2}] | sort(attribute=n.l) }}",
    "{% for i in [1, 2] %}{{ loop.changed(n.l) }}{{ loop.changed(n.m) }}{% endfor %}",
]  # fmt: skip
ENDLESS = [
    "{{ 9**9**9 }}{{ 99**9999 }}",
    EACH + "{% set a = dict(wide) %}" + END,
    EACH + "{% set a = namespace(wide) %}" + END,
    EACH + "{% set a = dict(**wide) %}" + END,
    EACH + "{% set a = {'a': many} | string %}" + END,
    EACH + "{% set a = many ~ '' %}" + END,
    EACH + "{% set a = text is lower %}" + END,
    EACH + "{% set a = 'a' in range(100000) %}" + END,
    EACH + "{% set a = 'zz' in words %}" + END,
    EACH + "{% set a = xs in words %}" + END,
    EACH + "{% set a = wide == wide %}" + END,
    EACH + "{% set a = loop.cycle(*many) %}" + END,
    EACH + "{% set a = 1 %}" * 2000 + END,
    EACH + "{{ x | regex_search('(a{1,100}){1,9}' ~ i) }}" + END,
    "{% macro m() %}{{ varargs | length }}{% endmacro %}" + EACH + "{{ m(*many) }}" + END,
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(n) %}"
    + "{% set a = 1 %}" * 2000
    + "{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% set n = namespace(l=[]) %}" + EACH + "{% set n.l = n.l + [[1] * 99999] %}" + END,
    "{% set n = namespace(l=[]) %}" + EACH + "{% set n.l = n.l + ['a' * 1000000] %}" + END,
    "{% set n = namespace(l=[]) %}" + EACH + "{% set n.l = n.l + [many[:1] + many[1:]] %}" + END,
    "{{ [text] * 99999 }}",
    "x{{ [text] * 99999 }}",
    "{{ ([text] * 99999) | tojson }}",
    "{{ [range(100000)] * 99999 }}",
    "x{{ [range(100000)] * 99999 }}",
    "{{ words | map('replace', 'w', text) | list }}",
    "{{ ([' '] * 100000) | map('center', 1000000) | list }}",
    "{{ ([[1]] * 1000) | map('batch', 100000, 1) | map('list') | list }}",
    "{{ rows | map(attribute='" + "a." * 3000 + "a') | list }}",
    "{{ rows | sum(attribute='" + "a." * 3000 + "a') }}",
    "{{ rows | join(attribute='" + "a." * 3000 + "a') }}",
    EACH + "{% set a = rows | groupby('a') %}" + END,
    "{% set n = namespace(a=2**4999) %}" + EACH + "{% set a = n.a * n.a %}" + END,
    "{{ text | regex_search('.{1,1000}.{1,1000}=') }}",
    "{{ text | regex_search('((a?){30}){30}c') }}",
    "{{ text | regex_findall('a[^b]*z|a') }}",
    "{{ ('a' * 1000000) | regex_replace('a[^b]*z|a', 'b') }}",
    "{{ text | regex_replace('(a{1,900})', '\\\\1' * 2000) }}",
    "{{ words | map('regex_findall', '.') | list }}",
    "{{ text | regex_search('(' * 200 ~ ')' * 200) }}",
    "{{ ('f' * 900000) | int(base=16) }}",
    "{{ ('a.com ' * 20000) | urlize(target='x' * 100000) }}",
    "{{ (('[' * 300 ~ ('1,' * 50000) ~ '1' ~ ']' * 300) | fromjson) | tojson(indent=16) }}",
]
REASON = r"it (makes|takes|computes|calls itself or nests)|a key is text or a number|`sum` adds|the pattern is not accepted"


def measured(text: str) -> None:
    """Evaluate what must fail. Neither time nor memory may run away."""
    peak, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ExpressionError, match=REASON):
        outcome(text, SCOPE)
    assert time.process_time() - begun < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024 < MEBIBYTES


@pytest.mark.slow
@pytest.mark.parametrize("use", DEEP)
def test_a_value_that_holds_itself_over_and_over_is_never_followed_to_its_end(use: str) -> None:
    measured(TWINS + use)


@pytest.mark.slow
@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: str(text)[:60])
def test_work_that_has_no_end_stops_at_its_bound(text: str) -> None:
    measured(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "+".join(["1"] * 9_000) + " }}",
        "{{ x" + ".a" * 9_000 + " }}",
        "{{ x" + " | upper" * 9_000 + " }}",
        "{{ " + "-" * 9_000 + "1 }}",
        "{{ " + "[" * 2_000 + "]" * 2_000 + " }}",
    ],
)
def test_a_chain_without_end_is_refused_before_it_runs(text: str) -> None:
    with pytest.raises(BadTemplate, match="it nests too deeply"):
        template(text)


def test_a_template_of_more_words_than_anybody_writes_is_refused() -> None:
    with pytest.raises(BadTemplate, match="it has more than 20000 words"):
        template("{{ x }}" * 10_000)
    assert template("plain text " * 10_000 + "{{ x }}").evaluate({"x": 1})


@pytest.mark.parametrize("number", ["9" * 5_000, "1e999", "0x" + "f" * 5_000, "0b" + "1" * 20_000])
def test_a_number_that_no_template_could_compute_is_refused(number: str) -> None:
    with pytest.raises(BadTemplate, match="it holds a number of more than 10000 bits"):
        template("{{ " + number + " }}")


BOMB = "{{ range(10**9) | list }}"
SITES = {
    "input": f'- {{step: a, input: {{v: "{BOMB}"}}, tool: {{kind: act}}}}',
    "config": f'- {{step: a, tool: {{kind: act, say: "{BOMB}"}}}}',
    "set of a task": f'- {{step: a, tool: {{kind: act, set: {{v: "{BOMB}"}}}}}}',
    "set of a step": f'- {{step: a, tool: {{kind: act}}, set: {{ctx.v: "{BOMB}"}}}}',
    "condition of an arc": f'- {{step: a, tool: {{kind: act}}, next: [{{step: a, when: "{BOMB}"}}]}}',
    "condition of a rule": (
        f'- {{step: a, tool: {{kind: act, spec: {{policy: {{rules: [{{when: "{BOMB}", then: {{do: fail}}}}]}}}}}}}}'
    ),
    "admission": (
        f'- {{step: a, spec: {{policy: {{admit: {{rules: [{{when: "{BOMB}", then: {{allow: true}}}}]}}}}}},'
        " tool: {kind: act}}"
    ),
    "collection": f'- {{step: a, loop: {{in: "{BOMB}"}}, tool: {{kind: act}}}}',
    "condition of a loop": f'- {{step: a, loop: {{while: "{BOMB}"}}, tool: {{kind: act}}}}',
}


@pytest.mark.parametrize("site", SITES)
async def test_a_bomb_fails_its_step_wherever_it_stands(site: str, tmp_path: Path) -> None:
    stage = await played(SITES[site], LocalCache(tmp_path))

    error = stage.log.error
    assert error is not None
    assert (error.kind, error.step) == ("validation", "a")
    assert "step 'a'" in error.message
    assert "it makes more than 100000 elements in `{{ range(10**9) | list }}`" in error.message


async def test_a_bomb_in_the_workload_fails_the_execution_before_it_begins(tmp_path: Path) -> None:
    document = f'workload: {{v: "{BOMB}"}}\nworkflow:\n- {{step: a, tool: {{kind: act}}}}'

    stage = await played(document, LocalCache(tmp_path))

    error = stage.log.error
    assert error is not None
    assert error.message.startswith("workload, key 'v' (sales.yaml:4:15): it makes more than 100000 elements")
