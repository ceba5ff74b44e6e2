"""docs/plugins.md names every field of what a plugin declares, and all that its tools are made from."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from noetl_stream.ports.tools import Call
from noetl_stream.tools.builtin import Means
from noetl_stream.tools.plugin import Plugin

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
FOR_OURS = {"duckdb_settings", "brokers", "kafka", "chores", "containers"}
"""Means that are of no use to others."""
PLAIN = {"config", "input", "context", "execution", "answer", "answered"}
"""What of a call its docstring tells well enough."""


def test_every_field_of_a_plugin_is_told_and_no_other() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXT, re.MULTILINE)

    assert re.findall(r"\w+", " ".join(rows)) == [field.name for field in fields(Plugin)]


def test_what_tools_are_made_from_is_told() -> None:
    assert [f.name for f in fields(Means) if f.name not in FOR_OURS and f"`{f.name}`" not in TEXT] == []


def test_what_a_call_brings_is_told() -> None:
    assert [f.name for f in fields(Call) if f.name not in PLAIN and f.name not in TEXT] == []
