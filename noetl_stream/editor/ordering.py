"""The canonical order of keys. Blocks are put in order, with their comments; what is written in brackets stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ruamel.yaml.nodes import MappingNode
from ruamel.yaml.nodes import Node as YamlNode

from noetl_stream.editor.lines import Entry, Page, end_of, entries, is_block, page_of
from noetl_stream.editor.marks import composed

_REST: Final = "…"
"""Where keys stand that an order does not name, as written."""
_OF_TASK: Final = (
    "desc", "auth", "iterator", _REST, "spec", "output", "output_select", "assert", "set",
)  # fmt: skip
ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "document": (
        "apiVersion", "kind", "metadata", "workload", "spec", "keychain", "executor", "policy", "workbook", _REST,
        "workflow",
    ),
    "metadata": ("name", "path", "version", "description", _REST),
    "credential": ("name", "kind", _REST),
    "entry": ("name", "desc", "assert", _REST, "tool"),
    "step": (
        "step", "desc", "spec", "loop", "input", "tool", _REST, "expect", "result", "set", "on_error", "next",
    ),
    "task": ("kind", "name", "workbook", *_OF_TASK),
    "listed": ("name", "kind", "workbook", *_OF_TASK),
    "loop": ("in", "while", "frames", "cursor", "iterator", "rows", _REST, "spec"),
    "routes": ("spec", _REST, "arcs"),
    "arc": ("step", "on", "when", "args", "set", _REST),
    "rule": ("when", "then", "else", _REST),
    "then": ("do", "to", "attempts", "backoff", "delay", "set", _REST),
}  # fmt: skip
INSIDE: Final[Mapping[tuple[str, str], str]] = {
    ("document", "metadata"): "metadata",
    ("document", "keychain"): "credential",
    ("document", "workbook"): "entry",
    ("document", "workflow"): "step",
    ("document", "executor"): "executor",
    ("executor", "spec"): "spec",
    ("entry", "tool"): "task",
    ("step", "tool"): "task",
    ("step", "loop"): "loop",
    ("step", "next"): "routes",
    ("step", "on_error"): "arc",
    ("step", "spec"): "spec",
    ("task", "spec"): "spec",
    ("listed", "spec"): "spec",
    ("loop", "spec"): "spec",
    ("routes", "arcs"): "arc",
    ("spec", "policy"): "policy",
    ("policy", "rules"): "rule",
    ("rule", "then"): "then",
    ("rule", "else"): "rule",
}
"""What stands under a key of what; the items of a list are what the list is."""


def ordered(text: str) -> str:
    """The text with the keys of its blocks in canonical order."""
    root = composed(text)
    if root is None or not is_block(root):
        return text
    page = page_of(text, root)
    end = end_of(root, page)
    return "\n".join([*_arranged(root, "document", page, 0, end), *page.lines[end:]])


def _arranged(node: YamlNode, place: str, page: Page, start: int, end: int) -> list[str]:
    """`lines[start:end]`, with every block of the node in order."""
    parts = entries(node, page, end) if is_block(node) else []
    if not parts:
        return page.lines[start:end]
    place = _precisely(node, place)
    chunks = [_chunk(part, node, place, page) for part in parts]
    if isinstance(node, MappingNode):
        names = [str(part.key.value) for part in parts]
        chunks = _sorted(chunks, names, ORDER.get(place, ()), parts[0], page)
    body = [line for chunk in chunks for line in chunk]
    return [*page.lines[start : parts[0].first], *body, *page.lines[parts[-1].end : end]]


def _precisely(node: YamlNode, place: str) -> str:
    """The short list of `next` holds arcs, `- label: {kind: …}` a task; `else: {do: …}` is what to do itself."""
    if not isinstance(node, MappingNode):
        return {"routes": "arc", "task": "listed"}.get(place, place)
    names = {str(key.value) for key, _ in node.value}
    match place:
        case "listed" if len(names) == 1 and not names & {"kind", "workbook"}:
            return "labelled"
        case "rule" if "do" in names:
            return "then"
        case _:
            return place


def _chunk(part: Entry, node: YamlNode, place: str, page: Page) -> list[str]:
    key = str(part.key.value) if isinstance(node, MappingNode) else None
    inner = "task" if place == "labelled" else place if key is None else INSIDE.get((place, key), "")
    body = page.lines[part.first : part.end]
    if part.has_block:
        body = _arranged(part.value, inner, page, part.first, part.end)
    return [*page.lines[part.top : part.first], *body]


def _sorted(
    chunks: list[list[str]], names: list[str], order: tuple[str, ...], first: Entry, page: Page
) -> list[list[str]]:
    rest = order.index(_REST) if _REST in order else 0
    ranks = [order.index(name) if name in order else rest for name in names]
    places = sorted(range(len(chunks)), key=lambda index: ranks[index])
    if not order or places == list(range(len(chunks))):
        return chunks
    prefix = page.lines[first.first][: first.column]
    chunks[0][0] = " " * first.column + chunks[0][0][first.column :]
    chunks = [chunks[index] for index in places]
    chunks[0] = _led(chunks[0], prefix)
    return chunks


def _led(chunk: list[str], prefix: str) -> list[str]:
    """A chunk that comes first now, behind the dashes that its block begins with; its comments stand above them."""
    comments = 0
    while not chunk[comments].strip() or chunk[comments].lstrip().startswith("#"):
        comments += 1
    above = [
        " " * (len(prefix) - len(prefix.lstrip())) + line.strip() for line in chunk[:comments] if line.strip()
    ]
    return [*above, prefix + chunk[comments][len(prefix) :], *chunk[comments + 1 :]]
