"""One row of the language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`id` names it, `canonical` is how it is written, `means` what is decided, `tests` are node ids below tests/.

    `spells` names entries of the model's tables of older spellings. A row that nothing holds yet `waits` for something.
    """

    id: str
    means: str
    tests: tuple[str, ...]
    canonical: tuple[str, ...] = ()
    spells: tuple[str, ...] = ()
    waits: str = ""


def row(id: str, canonical: str, means: str, *tests: str, spells: str = "", waits: str = "") -> Row:
    """A row as a table writes it: canonical forms parted by two spaces."""
    forms = tuple(each for each in canonical.split("  ") if each)
    return Row(id=id, canonical=forms, means=means, tests=tests, spells=tuple(spells.split()), waits=waits)
