"""What the language decides, row by row, and the tests that hold each: the list that docs/language.md shows.

`python -m tests.promises.language_rows` writes the table into the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.core.names import EVENT_NAMES
from noetl_stream.dsl import spellings
from noetl_stream.dsl.kinds import ALIASES
from noetl_stream.dsl.rewrite import METHODS
from tests.promises.language_rows_of_documents import DOCUMENTS
from tests.promises.language_rows_of_tasks import TASKS
from tests.promises.language_rows_of_templates import TEMPLATES
from tests.promises.rows import Row

PAGE = Path(__file__).parents[2] / "docs" / "language.md"
BEGIN, END = "\n## Conformance\n", "\n## Not yet\n"
ROWS: tuple[Row, ...] = (*DOCUMENTS, *TASKS, *TEMPLATES)

OLDER: Mapping[str, Mapping[str, str]] = {
    "step": spellings.STEP,
    "task": spellings.TASK,
    "arc": spellings.ARC,
    "rule": spellings.RULE,
    "retry": spellings.RETRY,
    "spec": spellings.SPEC,
    "backoff": spellings.BACKOFF,
    "store": spellings.STORE,
    "keychain": spellings.KEYCHAIN,
    "kind": ALIASES,
    "event": EVENT_NAMES,
    "method": {f".{old}()": new for old, new in METHODS.items()},
}
"""The model's own tables of older spellings, by the first word of a row's id."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """An older word for a newer one, in one kind of mapping."""

    place: str
    old: str
    new: str

    @property
    def row(self) -> str:
        return f"{self.place}.{self.new}"


SPELLINGS = tuple(Spelling(place, old, new) for place, table in OLDER.items() for old, new in table.items())


def older_of(row: Row) -> tuple[str, ...]:
    """The older spellings of what a row is about, as the normaliser reads them."""
    return tuple(each.old for each in SPELLINGS if each.row in row.spells)


def section() -> str:
    """The table as Markdown."""
    lines = [
        "What is decided, in the order of the reference: the canonical form, the older ones that are accepted with a warning,",
        "and the meaning. Each row is held by tests; `tests/promises/language_rows.py` names them.",
        "",
        "| row | canonical | older | decided |",
        "|---|---|---|---|",
        *(_line(row) for row in ROWS),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    waits = f" (**waits**: {row.waits})" if row.waits else ""
    return f"| {row.id} | {_code(row.canonical)} | {_code(older_of(row))} | {_cell(row.means)}{waits} |"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{_cell(word)}`" for word in words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def document(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    if not rest:
        before, _, after = text.partition(END)
    else:
        _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(document(PAGE.read_text()))
    print(section())
