"""Nodes of a document into compiled expressions: any value with templates in it, conditions, numbers, writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import SecurityError, TemplateError, UndefinedError

from noetl_stream.core.names import KEYCHAIN
from noetl_stream.core.plan import Expression, Flag, Path, Scope
from noetl_stream.core.values import NeedsPayload, Value
from noetl_stream.dsl.limits import LimitExceeded
from noetl_stream.dsl.regex import BadPattern
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import BadTemplate, Template, has_template, template, truth
from noetl_stream.errors import ExpressionError

_FAULTS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    AssertionError,
    MemoryError,
)
_YES = frozenset({"true", "1", "yes", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A compiled piece: a constant, or something to evaluate."""

    constant: Value = None
    evaluate: Callable[[Scope], Value] | None = None
    reads: frozenset[Path] = frozenset()
    passes: frozenset[Path] = frozenset()
    text: str = ""


def constant(value: Value, text: str = "") -> Expression:
    """An expression that always yields `value`."""
    return Expression(evaluate=lambda _: value, text=text)


def compile_value(node: Node, site: Site, *, strict: bool = False) -> Expression:
    """Compile a scalar, list or mapping with templates anywhere in it.

    A text that Jinja cannot parse is an error where `strict`, else a warning and the text as written.
    """
    part = _part(node, site, strict)
    if part.evaluate is None:
        return constant(part.constant, part.text)
    return Expression(evaluate=part.evaluate, reads=part.reads, passes=part.passes, text=part.text)


def compile_condition(node: Node, site: Site) -> Expression:
    """Compile to policy truth. An unknown name is an error here: a typo would silently be false."""
    if node.is_mapping or node.is_list:
        site.report.error(f"{site.subject}: a condition is an expression, not {node.word}", node.place)
        return constant(False)
    text = node.text
    if text is None or not has_template(text):
        _check_constant(node, site)
        return constant(truth(node.value), str(node.value))
    part = _text_part(text, node, site, strict=True, condition=True)
    if (evaluate := part.evaluate) is None:
        return constant(truth(part.constant), text)
    return Expression(evaluate=lambda scope: truth(evaluate(scope)), reads=part.reads, text=text)


def compile_flag(node: Node | None, site: Site, default: bool) -> Flag:
    """A boolean as it is written, or an expression for one."""
    if node is None:
        return default
    return compile_condition(node, site) if has_template(node.text or "") else truth(node.value)


def compile_number(node: Node, site: Site) -> Expression:
    """Compile to a number; numeric text and templates are converted when evaluated."""
    part = _part(node, site, strict=True)
    if (evaluate := part.evaluate) is None:
        number = as_number(part.constant)
        if number is None and not site.report.told(node.place):
            site.report.error(
                f"{site.subject}: '{site.key}' is a number, not {node.word}", node.place, "write a number"
            )
        return constant(number, part.text)

    def convert(scope: Scope) -> int | float:
        number = as_number(evaluate(scope))
        if number is None:
            raise ExpressionError("it yields no number", text=part.text, place=site.describe(node.place))
        return number

    return Expression(evaluate=convert, reads=part.reads, text=part.text)


def least(one: Expression | None, other: Expression) -> Expression:
    """The smaller of two numbers, where there are two."""
    if one is None:
        return other
    return Expression(
        evaluate=lambda scope: min(one.evaluate(scope), other.evaluate(scope)),
        reads=one.reads | other.reads,
        text=f"{one.text}, {other.text}",
    )


def as_number(value: Value) -> int | float | None:
    """A number, or text that is one; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else number


def _check_constant(node: Node, site: Site) -> None:
    text = node.text
    if text is not None and truth(text) and text.strip().lower() not in _YES:
        site.report.warn(
            f"{site.subject}: this condition is always true, as it has no template",
            node.place,
            f"write '{{{{ {text} }}}}'",
        )


def _part(node: Node, site: Site, strict: bool) -> _Part:
    match node.value:
        case dict() as entries:
            parts = {key: _part(each, site.at(key), strict) for key, each in entries.items()}
            return _joined(list(parts.values()), lambda values: dict(zip(parts, values, strict=True)))
        case list() as items:
            return _joined([_part(each, site, strict) for each in items], list)
        case str() as text if has_template(text):
            return _text_part(text, node, site, strict)
        case _:
            return _Part(constant=node.value, text=str(node.value))


def _joined(parts: list[_Part], build: Callable[[list[Value]], Value]) -> _Part:
    text = ", ".join(part.text for part in parts if part.evaluate)
    if not any(part.evaluate for part in parts):
        return _Part(constant=build([part.constant for part in parts]), text=text)
    ways = [(part.evaluate, part.constant) for part in parts]

    def evaluate(scope: Scope) -> Value:
        return build([way(scope) if way else fixed for way, fixed in ways])

    return _Part(
        evaluate=evaluate,
        reads=frozenset().union(*(part.reads for part in parts)),
        passes=frozenset().union(*(part.passes for part in parts)) - _looked_into(parts),
        text=text,
    )


def _looked_into(parts: list[_Part]) -> frozenset[Path]:
    """What some part reads for itself although another hands it on whole."""
    return frozenset().union(*(part.reads - part.passes for part in parts))


def _text_part(text: str, node: Node, site: Site, strict: bool, condition: bool = False) -> _Part:
    try:
        compiled = template(text)
    except BadTemplate as error:
        return _unparsed(error, text, node, site, strict)
    for note in compiled.notes:
        site.report.warn(f"{_subject(site)}: {note}", node.place)
    _check_names(compiled, node, site, condition)
    return _Part(
        evaluate=_placed(compiled, text, site, node),
        reads=compiled.reads,
        passes=compiled.passes,
        text=text.strip(),
    )


def _unparsed(error: BadTemplate, text: str, node: Node, site: Site, strict: bool) -> _Part:
    if strict or error.parses:
        quoted = "" if site.secret else f" in `{shortened(text)}`"
        site.report.error(f"{_subject(site)}: {error}{quoted}", node.place)
    else:
        site.report.warn(f"{_subject(site)}: kept as written, since Jinja says: {error}", node.place)
    return _Part(constant=text, text=text)


def _check_names(compiled: Template, node: Node, site: Site, condition: bool) -> None:
    roots = {path[0] for path in compiled.reads}
    for root in sorted(roots & site.hidden.keys()):
        why, instead = site.hidden[root]
        site.report.error(f"{_subject(site)}: '{root}' {why}", node.place, instead)
    found = site.report.error if condition else site.report.warn
    for root in sorted(roots - site.known):
        found(f"{_subject(site)}: unknown name '{root}'", node.place, suggest(root, site.known))
    if KEYCHAIN not in site.hidden:
        _check_aliases(compiled.reads, node, site)


def _check_aliases(reads: frozenset[Path], node: Node, site: Site) -> None:
    """A keychain that is declared is taken at its word; without one, credentials may come from elsewhere."""
    found = site.report.error if site.aliases else site.report.warn
    for alias in sorted({path[1] for path in reads if path[0] == KEYCHAIN and path[1:]} - site.aliases):
        hint = suggest(alias, site.aliases) or f"declare `{{name: {alias}, kind: …}}` there"
        found(f"{_subject(site)}: the document's `keychain` has no '{alias}'", node.place, hint)
    if (KEYCHAIN,) in reads:
        site.report.warn(
            f"{_subject(site)}: which credential is read is not known before it runs, so all that are declared are resolved",
            node.place,
            "write `keychain.<name>`",
        )


def _placed(compiled: Template, text: str, site: Site, node: Node) -> Callable[[Scope], Value]:
    run, place = compiled.evaluate, site.describe(node.place)
    if site.secret:
        text = "…"

    def evaluate(scope: Scope) -> Value:
        try:
            return run(scope)
        except NeedsPayload:
            raise
        except _FAULTS as error:
            raise ExpressionError(reason_of(error, text), text=shortened(text), place=place) from None

    return evaluate


_UNDEFINED = re.compile(r"'(?P<name>.*)' is undefined", re.DOTALL)


def reason_of(error: Exception, text: str) -> str:
    """What went wrong, in words that never repeat a value: what they quote stands in the template's text."""
    match error:
        case UndefinedError():
            found = _UNDEFINED.fullmatch(str(error))
            return str(error) if found is None or found["name"] in text else "what it looks up is undefined"
        case BadPattern() if not _quotes(text, error.pattern):
            return "the pattern is not accepted"
        case LimitExceeded() | SecurityError() | BadPattern() | TypeError() | ZeroDivisionError():
            return str(error)
        case RecursionError():
            return "it calls itself or nests without end"
        case _:
            return f"a value is not what it expects ({type(error).__name__})"


def _quotes(text: str, pattern: str) -> bool:
    return pattern in text or pattern.replace("\\", "\\\\") in text


def shortened(text: str, length: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _subject(site: Site) -> str:
    return f"{site.subject}, key '{site.key}'" if site.key else site.subject


def merged(base: Any, over: Any) -> Any:
    """`over` laid on `base`: mappings deep, everything else replaced."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: merged(base[key], each) if key in base else each for key, each in over.items()}}
