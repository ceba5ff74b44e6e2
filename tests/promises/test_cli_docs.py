"""docs/cli.md has every command with every option, docs/settings.md every setting, docs/report.md every key; and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from noetl_stream.cli.main import app
from noetl_stream.core.events import ExecutionRequested
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.report import Story
from noetl_stream.settings import Settings

NAMED = re.compile(r"`noetl-stream ([a-z][a-z-]*(?: [a-z][a-z-]*)?)")
PACKAGE = Path(__file__).parents[2] / "noetl_stream"
JSON_ALREADY = {"schema", "lsp"}
"""Commands that print or speak nothing else."""
DOCS = Path(__file__).parents[2] / "docs"
ROOT: Any = get_command(app)


def commands(group: Any = ROOT, before: str = "") -> dict[str, Any]:
    """Every command by its words; a group that only gathers others is none."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        words, below = f"{before}{name}", hasattr(command, "commands")
        if not below or command.invoke_without_command:
            found[words] = command
        if below:
            found |= commands(command, f"{words} ")
    return found


def sections() -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(command: Any) -> list[str]:
    """The table rows that a command's options must have."""
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    return [row(option) for option in options]


def row(option: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.opts)
    value = "" if option.metavar is None else " `" + option.metavar.replace("|", r"\|") + "`"
    return f"| {flags}{value} | {option.help} |"


def test_every_command_that_a_sentence_names_is_there() -> None:
    """An error's next step must be one that can be taken. What follows a command may be its file."""
    there = set(commands())
    named = {
        (file.name, words) for file in PACKAGE.rglob("*.py") for words in NAMED.findall(file.read_text())
    }

    assert len(named) > 20
    assert {(file, words) for file, words in named if not {words, words.partition(" ")[0]} & there} == set()


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert list(sections()) == ["Options before the command", *commands()]


@pytest.mark.parametrize("name", ["Options before the command", *commands()])
def test_every_option_is_documented_and_nothing_else(name: str) -> None:
    command = commands().get(name, ROOT)

    assert re.findall(r"^\| `-.*$", sections()[name], flags=re.MULTILINE) == rows(command)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_an_example_in_its_help_and_in_the_docs(name: str) -> None:
    assert f"`noetl-stream {name}" in commands()[name].help
    assert f"$ noetl-stream {name}" in sections()[name]


@pytest.mark.parametrize("name", sorted(commands().keys() - JSON_ALREADY))
def test_every_command_can_answer_a_machine(name: str) -> None:
    assert "--json" in {flag for option in commands()[name].params for flag in option.opts}


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = re.findall(
        r"^\| `NOETL_STREAM_(\w+)` \|", (DOCS / "settings.md").read_text(), flags=re.MULTILINE
    )

    assert documented == [name.upper() for name in Settings.model_fields]


def test_every_key_of_the_report_is_documented_in_its_order() -> None:
    story, event = Story(), a_request()
    story.tell(event, evolve(Partition(), 1, event, 0), event.time)
    documented = re.findall(r"^\| `(\w+)` \|", (DOCS / "report.md").read_text(), flags=re.MULTILINE)

    assert documented == list(story.as_json({}))


def a_request() -> ExecutionRequested:
    return ExecutionRequested(
        identity="0" * 32, path="p", version=1, digest="d", catalog_offset=0, payload={}, seed="s", time=0.0
    )
