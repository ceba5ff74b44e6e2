"""docs/tools.md names every kind, each of its keys and older spellings, and its nature; and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from noetl_stream.ports.tools import Kind
from noetl_stream.tools.builtin import BUILTIN

DOCS = Path(__file__).parents[2] / "docs" / "tools.md"
KINDS = {name: plugin.kind for name, plugin in BUILTIN.items()}


def sections() -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", DOCS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def keys(section: str) -> set[str]:
    """The first column of the section's table."""
    return set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def test_every_kind_has_a_section_and_every_section_a_kind() -> None:
    assert sections().keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_key_of_a_kind_is_documented(kind: Kind) -> None:
    assert kind.config is not None
    section = sections()[kind.name]

    assert keys(section) == kind.config.model_fields.keys()
    assert all(f"`{alias}`" in section for alias in kind.aliases)
    assert f"Nature: `{kind.nature}`" in section
