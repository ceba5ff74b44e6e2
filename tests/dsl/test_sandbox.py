"""Known ways out of a Jinja sandbox, and ways to make one evaluation endless or enormous."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.values import NeedsPayload, Ref
from noetl_stream.dsl.expressions import compile_value
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.sandbox import sandbox
from noetl_stream.dsl.source import Node, Place
from noetl_stream.dsl.templates import BadTemplate, template
from noetl_stream.errors import ExpressionError
from tests.dsl.expressions import outcome as evaluated

SCOPE: dict[str, Any] = {"x": "text", "d": {"a": 1}, "xs": [1, 2], "f": print, "now": lambda: "then"}
SCOPE["longer"] = list(range(8000))


def outcome(text: str) -> Any:
    return evaluated(text, SCOPE)


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__class__.__base__.__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ x['__class__']['__mro__'] }}",
    "{{ x|attr('__class__') }}",
    "{{ x|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ xs|map('attr', '__class__')|list }}",
    "{{ xs|map(attribute='__class__')|list }}",
    "{{ xs|map(attribute='__class__.__mro__')|list }}",
    "{{ xs|groupby('__class__') }}",
    "{{ xs|sort(attribute='__class__') }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format_map(d) }}",
    "{{ ('{0.__class__}'|escape).format(x) }}",
    "{{ '%(a)s'|format(a=x) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ namespace(a=1).__class__ }}",
    "{{ namespace(a=1)['_Namespace__attrs'] }}",
    "{{ range.__class__ }}",
    "{{ dict.__base__ }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self }}",
    "{{ config.__class__ }}",
    "{{ request.application.__globals__ }}",
    "{{ now.__globals__ }}",
    "{{ now.__closure__ }}",
    "{{ f('hi') }}",
    "{{ f.__self__ }}",
    "{{ f }}",
    "{{ d.update({'b': 2}) }}",
    "{{ d.clear() }}",
    "{{ xs.append(3) }}",
    "{{ xs.pop() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'base' %}",
    "{% block b %}{% endblock %}",
    "{{ super() }}",
    "{% for i in xs recursive %}{{ loop(xs) }}{% endfor %}",
    "{% for i in xs %}{{ loop.__init__.__globals__ }}{{ loop._iterator }}{{ loop._undefined }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}{{ m._environment }}{{ m._func.__code__ }}",
    "{% set ns = namespace(f=f) %}{{ ns.f('hi') }}",
    "{% with g = f %}{{ g('hi') }}{% endwith %}",
    "{{ xs|map('f')|list }}",
    "{{ xs|random }}",
    "{{ [f]|list }}",
    "{{ caller() }}",
    "{% for i in xs %}{{ loop.get('x') }}{% endfor %}",
    "{{ x.__getattribute__('upper')() }}",
    "{{ [].__class__.__base__ }}",
    "{{ ().__class__.__bases__[0] }}",
    "{{ d.__init__ }}",
    "{{ (x|string).__class__ }}",
    "{{ x|map(attribute='format')|list }}",
    "{{ (x|e).__html_format__ }}",
    "{{ d|xmlattr|attr('x') }}",
    "{{ environment }}{{ context }}{{ _value }}{{ missing }}{{ undefined }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_known_escape_reaches_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        found = outcome(text)
    except ExpressionError:
        found = None
    shown = repr(found)

    assert "refused" in shown or not any(
        sign in shown for sign in ("<", "class", "root:", "uid=", "object at", "builtin", "globals")
    )
    assert SCOPE["xs"] == [1, 2]
    assert SCOPE["d"] == {"a": 1}
    assert capsys.readouterr().out == ""


DOUBLING = (
    "{% set n = namespace(l=1, m=1) %}"
    "{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}"
)
"""Two equal values of 2**60 leaves, in 120 lists."""
ENDLESS = [
    "{{ range(10**9) }}",
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ [1] * 10**9 }}",
    "{{ 2 ** 1000000000 }}",
    "{{ (2 ** 9000) * (2 ** 9000) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
    "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s %}{{ n.s }}{{ n.s }}{% endset %}{% endfor %}",
    "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s=[]) %}{% for i in range(99999) %}{% set n.s = n.s + [i] %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}"
    "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = m(n.s) %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = 70000 in longer %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = longer not in [xs] %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = [longer] in [1] * 1000 %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = longer[:] %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = longer == xs %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = longer is eq(xs) %}{% endfor %}",
    "{% for i in range(99999) %}{% set q = longer | sort %}{% endfor %}",
    "{{ [[1] * 99999] * 99999 }}",
    pytest.param(DOUBLING + "{{ n.l == n.m }}", marks=pytest.mark.slow),
    pytest.param(DOUBLING + "{{ [n.l, n.m] | sort }}", marks=pytest.mark.slow),
    pytest.param(DOUBLING + "{{ n.l }}", marks=pytest.mark.slow),
    pytest.param(DOUBLING + "{{ n.l | tojson }}", marks=pytest.mark.slow),
    "{{ 'a' | center(10**9) }}",
    "{{ 'a' | indent(10**9, true) }}",
    "{{ ('a\n' * 1000) | indent('b' * 10000) }}",
    "{{ ('a' * 10000) | replace('a', 'b' * 10000) }}",
    "{{ ('a' * 10000) | replace('', 'b' * 10000) }}",
    "{{ ('a' * 10000) | regex_replace('', 'b' * 10000) }}",
    "{{ range(50000) | join('b' * 10000) }}",
    "{{ ('a' * 10000) | wordwrap(1, 'b' * 10000) }}",
    "{{ [1] | slice(10**9) | list }}",
    "{{ [1] | batch(10**9, 0) | list }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ 1.5 | round(10**9, 'ceil') }}",
    "{{ range(99999) | map('string') | map('center', 1000) | map('center', 10000) | list | map('list') | list }}",
]


@pytest.mark.parametrize("text", ENDLESS)
def test_what_would_be_endless_or_enormous_ends_with_a_reason(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"it (makes|takes|computes|indents|rounds|calls)"):
        outcome(text)


@pytest.mark.parametrize(
    "text", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% for i in xs %}" * 40 + "{% endfor %}" * 40]
)
def test_what_nests_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate, match="nests too deeply"):
        template(text)


def test_a_slow_pattern_is_matched_in_linear_time() -> None:
    assert outcome("{{ ('a' * 50000 ~ 'b') | regex_match('(a+)+$') }}") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ nowhere + 1 }}", "'nowhere' is undefined"),
        ("{{ d.nowhere.deep + 1 }}", "'nowhere' is undefined"),
        ("{{ x + 1 }}", 'can only concatenate str (not "int") to str'),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ x | todatetime }}", "a value is not what it expects (ValueError)"),
        ("{{ now(1) }}", "takes 0 positional arguments"),
    ],
)
def test_a_fault_names_its_reason_and_place_but_no_value(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        outcome(text)

    assert reason in caught.value.reason
    assert caught.value.place == "step 's', key 'k' (f.yaml:1:1)"
    assert caught.value.text == text


def test_a_value_is_never_called_by_another_name() -> None:
    with pytest.raises(ExpressionError, match="a value cannot be called"):
        outcome("{% with g = f %}{{ g('hi') }}{% endwith %}")


def test_a_loop_cycles_and_sees_changes() -> None:
    text = "{% for i in [1, 1, 2] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i) }} {% endfor %}"

    assert outcome(text) == "aTrue bFalse aTrue "


def test_a_call_block_reaches_its_macro() -> None:
    text = "{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(b) m(x) %}{{ b }}{{ d.a }}{% endcall %}"

    assert outcome(text) == "<text1>"
    assert template(text).reads == {("x",), ("d", "a")}


def test_jinja_s_own_doors_find_keys_only() -> None:
    assert sandbox().getattr({"upper": 1}, "upper") == 1
    assert not sandbox().getattr("text", "upper")
    assert not sandbox().getitem("text", "upper")


def test_what_only_a_payload_can_tell_is_no_fault() -> None:
    expression = compile_value(
        Node("{{ x.y }}", Place("f", 1, 1)), Site(report=Report(), subject="s", known=frozenset({"x"}))
    )

    with pytest.raises(NeedsPayload):
        expression.evaluate({"x": Ref(uri="u", bytes=1, sha256="", format="json")})
