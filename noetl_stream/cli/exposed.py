"""`exposed`: which playbooks are tools for MCP clients, and as what these see them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from noetl_stream.cli.check import Places
from noetl_stream.cli.options import Debug, Json
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.cli.playbooks import Document, Subscribed
    from noetl_stream.dsl.exposing import Exposed


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(exposed)


def exposed(places: Places, as_json: Json = False, debug: Debug = False) -> None:
    """List the playbooks that are tools for MCP clients: name, what they do, what they take and answer.

    Examples: `noetl-stream exposed playbooks/` · `noetl-stream exposed sales.yaml --json`
    """
    from noetl_stream.cli.playbooks import checked_all, files_of, registrable

    tools = _tools(checked_all(files_of(places), registrable))
    if as_json:
        shown = {"tools": [tool.listed() for tool in tools]}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    elif tools:
        from noetl_stream.cli.shown import console, show_table

        show_table(console(), [_row(tool) for tool in tools], len(tools))
    else:
        typer.echo("none of these is a tool; a playbook becomes one by `metadata: {exposes_as_mcp: true}`")


def _tools(documents: Iterable[Document | Subscribed]) -> tuple[Exposed, ...]:
    from noetl_stream.core.plan import Plan
    from noetl_stream.dsl.exposing import clashes, exposed
    from noetl_stream.dsl.source import load

    plans = [(each.plan, load(each.text, str(each.file))) for each in documents]
    found = [exposed(text, plan.path) for plan, text in plans if isinstance(plan, Plan)]
    tools = tuple(tool for tool in found if tool is not None)
    for name, paths in clashes(tools).items():
        raise InvalidRequest(
            f"{' and '.join(paths)} would both be the tool '{name}'; give one `exposes_as_mcp: {{name: …}}`"
        )
    return tools


def _row(tool: Exposed) -> dict[str, object]:
    takes, answers = tool.takes, tool.answers or {}
    return {
        "tool": tool.name,
        "playbook": tool.path,
        "does": tool.description,
        "takes": ", ".join(takes.get("properties") or {}),
        "answers": ", ".join(answers.get("properties") or {}),
    }
