"""One word, one meaning: every word that the README explains stands in docs/glossary.md, each once."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def explained(text: str) -> list[str]:
    """The bold words that begin a row of a table."""
    rows = re.findall(r"^\| (\*\*.+?) \|", text, flags=re.MULTILINE)
    return [word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row)]


def test_a_word_of_the_readme_stands_in_the_glossary() -> None:
    words = explained((ROOT / "docs" / "glossary.md").read_text())
    readme = explained((ROOT / "README.md").read_text())

    assert len(words) == len(set(words))
    assert readme != []
    assert set(readme) - set(words) == set()
