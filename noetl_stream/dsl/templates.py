"""Text with templates in it, compiled once: what it yields over a scope, what it reads, what it should rather say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError

from noetl_stream.core.plan import Path, Scope
from noetl_stream.core.values import Value
from noetl_stream.dsl.analysis import Reads, passes_of, reads_of
from noetl_stream.dsl.generator import VALUE
from noetl_stream.dsl.limits import LIMITS, bounded_join
from noetl_stream.dsl.native import native
from noetl_stream.dsl.report import suggest
from noetl_stream.dsl.rewrite import Rewrite
from noetl_stream.dsl.sandbox import Evaluation, sandbox

_TOO_DEEP = (RecursionError, MemoryError, SyntaxError)
"""What Python's own compiler says to code that nests too deeply."""
_TOO_LARGE = f"it holds a number of more than {LIMITS.bits} bits"
_FALSE = frozenset({"", "false", "0", "no", "none", "null", "off", "{}", "[]"})


class BadTemplate(ValueError):
    """A text that does not compile. `parses` tells refused constructs from what is not Jinja at all."""

    def __init__(self, reason: str, *, parses: bool) -> None:
        self.parses = parses
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A compiled text. `evaluate` raises what its filters and operators raise."""

    evaluate: Callable[[Scope], Value]
    reads: frozenset[Path]
    passes: frozenset[Path]
    notes: tuple[str, ...] = ()


def has_template(text: str) -> bool:
    """Whether the text has anything for Jinja to do."""
    return "{{" in text or "{%" in text or "{#" in text


def truth(value: Any) -> bool:
    """Policy truth: text is false only if it says so."""
    return value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)


@lru_cache(maxsize=8192)
def template(text: str) -> Template:
    """Compile a text. Raises BadTemplate."""
    try:
        return _compiled(text)
    except _TOO_DEEP:
        raise BadTemplate("it nests too deeply", parses=True) from None


def _compiled(text: str) -> Template:
    tree, notes = _parsed(text)
    reads = reads_of(tree)
    _refuse(reads, tree)
    if (root := _sole(text, tree)) is None:
        return Template(
            evaluate=_text_of(_rooted(tree)),
            reads=frozenset(reads.paths),
            passes=frozenset(),
            notes=notes,
        )
    assign = nodes.Assign(nodes.Name(VALUE, "store"), root, lineno=1)
    compiled = _rooted(nodes.Template([assign], lineno=1))
    return Template(
        evaluate=_value_of(compiled, looked_up=isinstance(root, nodes.Name | nodes.Getattr | nodes.Getitem)),
        reads=frozenset(reads.paths),
        passes=passes_of(root),
        notes=notes,
    )


def _parsed(text: str) -> tuple[nodes.Template, tuple[str, ...]]:
    try:
        if len(text) > LIMITS.words:
            _check_words(text)
        tree = sandbox().parse(text)
    except TemplateSyntaxError as error:
        raise BadTemplate(error.message or "it is no template", parses=False) from None
    except BadTemplate:
        raise
    except ValueError:
        # Python itself bounds the digits of a number in text.
        raise BadTemplate(_TOO_LARGE, parses=True) from None
    _check_numbers(tree)
    rewrite = Rewrite()
    rewrite.visit(tree)
    return tree, tuple(dict.fromkeys(rewrite.notes))


def _check_words(text: str) -> None:
    """A tree takes far more room than its text."""
    if sum(kind != "whitespace" for _, kind, _ in sandbox().lex(text)) > LIMITS.words:
        raise BadTemplate(f"it has more than {LIMITS.words} words", parses=True)


def _check_numbers(tree: nodes.Template) -> None:
    for each in tree.find_all(nodes.Const):
        if isinstance(each.value, float) and not math.isfinite(each.value):
            raise BadTemplate(_TOO_LARGE, parses=True)
        if isinstance(each.value, int) and each.value.bit_length() > LIMITS.bits:
            raise BadTemplate(_TOO_LARGE, parses=True)


def _refuse(reads: Reads, tree: nodes.Template) -> None:
    engine = sandbox()
    unknown = [
        _unknown("filter", f.name, engine.filters)
        for f in tree.find_all(nodes.Filter)
        if f.name not in engine.filters
    ] + [
        _unknown("test", t.name, engine.tests)
        for t in tree.find_all(nodes.Test)
        if t.name not in engine.tests
    ]
    if refused := reads.refused + unknown:
        raise BadTemplate(refused[0], parses=True)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    hint = suggest(name, known)
    return f"there is no {what} '{name}'" + (f"; {hint}" if hint else "")


def _sole(text: str, tree: nodes.Template) -> nodes.Expr | None:
    """The expression of a text that is exactly one `{{ … }}`."""
    text = text.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return None
    if any(not isinstance(node, nodes.Output) for node in tree.body):
        return None
    written = [
        node
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
        if not (isinstance(node, nodes.TemplateData) and not node.data.strip())
    ]
    return written[0] if len(written) == 1 else None


Root = Callable[[Evaluation], Iterable[str]]


def _rooted(tree: nodes.Template) -> Root:
    engine = sandbox()
    tree.set_environment(engine)
    try:
        return engine.template_class.from_code(engine, engine.compile(tree), {}).root_render_func
    except TemplateSyntaxError as error:
        raise BadTemplate(error.message or "it does not compile", parses=False) from None


def _text_of(root: Root) -> Callable[[Scope], Value]:
    def evaluate(scope: Scope) -> Value:
        return bounded_join(root(Evaluation(sandbox(), scope)))

    return evaluate


def _value_of(root: Root, *, looked_up: bool) -> Callable[[Scope], Value]:
    def evaluate(scope: Scope) -> Value:
        run = Evaluation(sandbox(), scope)
        for _ in root(run):
            pass
        value = run.vars[VALUE]
        # A value that was merely looked up is JSON already, however large.
        return value if looked_up and type(value) in (dict, list) else native(value)

    return evaluate
