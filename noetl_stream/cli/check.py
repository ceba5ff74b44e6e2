"""`validate` and `graph`: what can be said of playbooks without starting anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit
from noetl_stream.cli.options import Debug, Json
from noetl_stream.errors import InvalidPlaybook, Problem

if TYPE_CHECKING:
    from noetl_stream.cli.playbooks import Document

Places = Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="Playbooks, or folders of them.")]
OneFile = Annotated[Path, typer.Argument(metavar="FILE", help="A playbook.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(validate)
    app.command()(graph)


def validate(places: Places, strict: Strict = False, as_json: Json = False, debug: Debug = False) -> None:
    """List every problem of the playbooks, each with its place; nothing is started.

    Examples: `noetl-stream validate sales.yaml` · `noetl-stream validate playbooks/ --strict --json`
    """
    from noetl_stream.cli.playbooks import files_of

    files = files_of(places)
    problems = [problem for file in files for problem in _problems(file)]
    errors = [p for p in problems if strict or p.severity == "error"]
    if as_json:
        found = {"files": [str(f) for f in files], "valid": not errors, "problems": [*map(asdict, problems)]}
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _show(files, problems, failed=bool(errors))
    raise typer.Exit(Exit.INVALID if errors else Exit.COMPLETED)


def graph(file: OneFile, as_json: Json = False, debug: Debug = False) -> None:
    """Print a playbook as a Mermaid flowchart.

    Example: `noetl-stream graph sales.yaml > sales.mmd`
    """
    from noetl_stream.cli.playbooks import checked
    from noetl_stream.dsl.graph import mermaid

    document = checked(file)
    drawn = mermaid(document.plan)
    shown = json.dumps({"playbook": document.plan.path, "mermaid": drawn}, ensure_ascii=False, indent=2)
    typer.echo(shown if as_json else drawn, nl=as_json)


def _problems(file: Path) -> tuple[Problem, ...]:
    from noetl_stream.cli.playbooks import checked

    try:
        document: Document = checked(file)
    except InvalidPlaybook as error:
        return error.problems
    return document.warnings


def _show(files: Iterable[Path], problems: list[Problem], *, failed: bool) -> None:
    for problem in problems:
        typer.echo(str(problem), err=True)
    if not failed:
        count = len(list(files))
        typer.echo(f"{count} playbook{'s' if count > 1 else ''} can run" + _and_warnings(len(problems)))


def _and_warnings(count: int) -> str:
    return f", {count} warning{'s' if count > 1 else ''}" if count else ""
