"""Rule 8: what of a program's text is a template, and what only looks like one."""

from __future__ import annotations

import pytest

from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node, Place
from noetl_stream.dsl.text import compile_code

SCOPE = {"workload": {"n": 5, "s": "x\ny"}, "ctx": {"a": {"b": 1}}}


def rendered(code: str) -> tuple[str, list[str]]:
    report = Report()
    site = Site(report=report, subject="step 's'", known=frozenset({"workload", "ctx"}))
    found = compile_code(Node(code, Place("f", 3, 7)), site).evaluate(SCOPE)
    return found, [str(each) for each in report.warnings]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = {{ workload.n }}", "x = 5"),
        ('x = "{{ workload.n }}"', 'x = "5"'),
        ('x = """\n{{ workload.s }}\n"""', 'x = """\nx\ny\n"""'),
        ("x = '{{ ctx['a'].b }}'", "x = '1'"),
        ("x = r'{{ workload.n }}' + b'{{ workload.n }}'", "x = r'5' + b'5'"),
        ("a = {{ workload.n }}; b = {{ unknown }}; c = {{ ctx.a.b }}", "a = 5; b = {{ unknown }}; c = 1"),
        (
            "x = {{ workload.n }}\n# {{ workload.n }}\ny = '# {{ ctx.a.b }}'",
            "x = 5\n# {{ workload.n }}\ny = '# 1'",
        ),
    ],
)
def test_a_template_of_known_names_is_replaced_by_its_text(code: str, expected: str) -> None:
    found, warned = rendered(code)

    assert found == expected
    assert warned == ["f:3:7: warning: step 's': a template in `code` is replaced by its text; use `input`"]


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x = 1",
        "x = f'{{workload}}'",
        'x = F"""\n{{ workload.n }}\n"""',
        "x = rf'{{ workload.n }}'",
        "x = '{{ unknown }}'",
        "x = {{ a b }}",
        "x = {{ 1 }}",
        "# {{ workload.n }}",
        "x = {'a': {'b': 1}}",
        "x = '{{ workload.pop() }}'",
        "x = 'it\\'s {{ nothing }}'",
        "x = '{% if %}'",
    ],
)
def test_everything_else_stays_as_written(code: str) -> None:
    assert rendered(code) == (code, [])
