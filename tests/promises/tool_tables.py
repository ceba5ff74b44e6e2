"""The tables of docs/tools.md, written from the models: `python -m tests.promises.tool_tables`. The prose stays by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from noetl_stream.editor.kind_keys import Key, Listed, keys_of_kind, listed
from noetl_stream.ports.tools import Kind
from noetl_stream.tools.builtin import BUILTIN

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
KINDS: Mapping[str, Kind] = {name: plugin.kind for name, plugin in BUILTIN.items()}
_TABLE = re.compile(r"^\| (?:key|kind) \|.*\n(?:\|.*\n)+", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def document(text: str) -> str:
    """The page with its tables as they are now; a section without one gets it below its first paragraph."""
    before, *rest = _HEADING.split(text)
    sections = zip(rest[::2], rest[1::2], strict=True)
    parts = (f"## {name}{_section(KINDS.get(name), below)}" for name, below in sections)
    return _TABLE.sub(lambda _: overview(), before, count=1) + "".join(parts)


def overview() -> str:
    """Every kind of the language."""
    head = ("| kind | nature | comes with | what it does |", "|---|---|---|---|")
    return _lines((*head, *(_kind_row(kind) for kind in listed(KINDS))))


def table(kind: Kind) -> str:
    """A kind's own keys."""
    head = ("| key | type | default | meaning |", "|---|---|---|---|")
    return _lines((*head, *(_key_row(key) for key in keys_of_kind(kind))))


def _section(kind: Kind | None, text: str) -> str:
    return text if kind is None else _with(text, table(kind))


def _with(text: str, new: str) -> str:
    if _TABLE.search(text):
        return _TABLE.sub(lambda _: new, text, count=1)
    first, gap, rest = text.lstrip("\n").partition("\n\n")
    return f"\n\n{first}{gap}{new}\n{rest}"


def _kind_row(kind: Listed) -> str:
    named = f"[`{kind.kind}`](#{kind.kind})" if kind.kind in KINDS else f"`{kind.kind}`"
    nature = f"`{kind.nature}`" if kind.nature else ""
    return (
        f"| {named} | {nature} | {f'`noetl-stream[{kind.extra}]`' if kind.extra else ''} | {kind.summary} |"
    )


def _key_row(key: Key) -> str:
    default = f"`{key.otherwise}`" if key.otherwise and not key.required else key.otherwise
    return f"| `{key.name}` | {_cell(key.type)} | {_cell(default)} | {_cell(key.said)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(document(PAGE.read_text()))
