"""The tables of docs/tools.md, written from the models: `python -m tests.promises.tool_tables`. The prose stays by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from noetl_stream.dsl.kinds import EXTRAS
from noetl_stream.editor.kind_keys import Key, keys_of_kind
from noetl_stream.editor.words import TOOLS
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
    return _lines((*head, *(_kind_row(name) for name in sorted({*EXTRAS, *KINDS}))))


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


def _kind_row(name: str) -> str:
    extra = EXTRAS.get(name)
    kind = KINDS.get(name)
    named = f"[`{name}`](#{name})" if kind else f"`{name}`"
    nature = f"`{kind.nature}`" if kind else ""
    return f"| {named} | {nature} | {f'`noetl-stream[{extra}]`' if extra else ''} | {TOOLS[name]} |"


def _key_row(key: Key) -> str:
    default = "required" if key.required else f"`{key.default.strip(chr(34))}`" if key.default else ""
    older = [f"`{old}`" for old in key.also if f"`{old}`" not in key.meaning]
    meaning = f"{key.meaning} (also {', '.join(older)})" if older else key.meaning
    return f"| `{key.name}` | {_cell(key.type)} | {_cell(default)} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(document(PAGE.read_text()))
