"""Sizes that keep it calm. A longer one is an exception, and has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION, CLASS, FILE = 50, 250, 400

EXCEPTIONS: Mapping[str, str] = {}
"""`path:name` (a file: its path) to the reason why it may be longer."""


@dataclass(frozen=True, slots=True)
class Size:
    """Lines of a file, a class or a function."""

    name: str
    lines: int
    limit: int


def sources() -> Iterator[Path]:
    for folder in ("noetl_stream", "agents"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(part.is_symlink() for part in path.parents):
                yield path


def sizes() -> Iterator[Size]:
    for path in sources():
        text, name = path.read_text(), str(path.relative_to(ROOT))
        yield Size(name, text.count("\n"), FILE)
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.ClassDef(name=inner):
                    yield Size(f"{name}:{inner}", _lines(node), CLASS)
                case ast.FunctionDef(name=inner) | ast.AsyncFunctionDef(name=inner):
                    yield Size(f"{name}:{inner}", _lines(node), FUNCTION)


def _lines(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_class_or_function_is_too_long() -> None:
    assert [size for size in sizes() if size.lines > size.limit and size.name not in EXCEPTIONS] == []


def test_every_exception_is_still_one() -> None:
    long = {size.name for size in sizes() if size.lines > size.limit}

    assert set(EXCEPTIONS) - long == set()


def test_the_usual_function_is_short() -> None:
    lines = sorted(size.lines for size in sizes() if size.limit == FUNCTION)

    assert lines[len(lines) // 2] < 10
    assert lines[len(lines) * 9 // 10] <= 30
