"""Program text: in code only templates whose names are all known are replaced, and what code looks up in `context`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from noetl_stream.core.plan import Expression, Path, Scope
from noetl_stream.dsl.expressions import compile_value, constant
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import BadTemplate, template

_TEMPLATE = r"\{\{.*?\}\}"
_TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*)"
    r"|(?<!\w)(?:[rRbB]?[fFtT][rRbB]?)(?P<q>\"\"\"|'''|\"|')(?:\\.|(?!(?P=q)).)*(?P=q)"
    r"|(?<!\w)[rRbBuU]{0,2}(?P<quote>\"\"\"|'''|\"|')(?P<body>(?:\{\{.*?\}\}|\\.|(?!(?P=quote)).)*)(?P=quote)"
    rf"|(?P<template>{_TEMPLATE})",
    re.DOTALL,
)
EVERYTHING: Path = ("*",)


def compile_code(node: Node, site: Site) -> Expression:
    """Compile a `code` text: rule 8. Comments, f-strings and braces with unknown names stay as written."""
    text = node.text
    if text is None or "{{" not in text:
        return constant(node.value, "code")
    pieces = list(_pieces(text, site.known))
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return constant(text, "code")
    site.report.warn(
        f"{site.subject}: a template in `code` is replaced by its text", node.place, "use `input`"
    )
    parts = [_part(piece, node, site) for piece in pieces]

    def evaluate(scope: Scope) -> str:
        return "".join(part.evaluate(scope) for part in parts)

    return Expression(
        evaluate=evaluate, reads=frozenset().union(*(part.reads for part in parts)), text="code"
    )


def _part(piece: str | tuple[str], node: Node, site: Site) -> Expression:
    if isinstance(piece, str):
        return constant(piece)
    # A leading empty comment keeps a sole expression from being yielded natively.
    return compile_value(Node("{# #}" + piece[0], node.place), site)


def _pieces(text: str, known: frozenset[str]) -> Iterator[str | tuple[str]]:
    """Literal text, and (in a tuple) the templates to replace; together they are the text."""
    start = 0
    for begin, end in _templates(text):
        if not _is_known(text[begin:end], known):
            continue
        if begin > start:
            yield text[start:begin]
        yield (text[begin:end],)
        start = end
    if start < len(text) or not text:
        yield text[start:]


def _templates(text: str) -> Iterator[tuple[int, int]]:
    for token in _TOKEN.finditer(text):
        if token["template"]:
            yield token.span()
        elif token["body"]:
            offset = token.start("body")
            for found in re.finditer(_TEMPLATE, token["body"], re.DOTALL):
                yield offset + found.start(), offset + found.end()


def _is_known(text: str, known: frozenset[str]) -> bool:
    try:
        reads = template(text).reads
    except BadTemplate:
        return False
    return bool(reads) and all(path[0] in known for path in reads)


def context_reads(code: str) -> frozenset[Path]:
    """The names a python task looks up in `context`; everything if it does so by anything but a literal key."""
    if "context" not in code:
        return frozenset()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset({EVERYTHING})
    literal = {id(name): key for name, key in _literal_lookups(tree)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "context"]
    if any(id(name) not in literal for name in names):
        return frozenset({EVERYTHING})
    return frozenset((key,) for key in literal.values())


def _literal_lookups(tree: ast.AST) -> Iterator[tuple[ast.Name, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id="context") as name, slice=ast.Constant(value=str() as key)):
                yield name, key
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="context") as name, attr="get"),
                args=[ast.Constant(value=str() as key), *_],
            ):
                yield name, key
            case ast.Compare(
                left=ast.Constant(value=str() as key),
                ops=[ast.In() | ast.NotIn()],
                comparators=[ast.Name(id="context") as name],
            ):
                yield name, key
