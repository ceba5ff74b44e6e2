"""`validate` and `graph`: what can be said of playbooks without starting anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from noetl_stream.cli.ending import Exit
from noetl_stream.cli.options import Debug, Json
from noetl_stream.errors import Problem

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
    problems = {file: _problems(file) for file in files}
    found = [problem for each in problems.values() for problem in each]
    broken = [file for file, each in problems.items() if any(strict or p.severity == "error" for p in each)]
    errors = sum(problem.severity == "error" for problem in found)
    if as_json:
        counts = {"errors": errors, "warnings": len(found) - errors}
        shown = {
            "files": [*map(str, files)],
            "valid": not broken,
            **counts,
            "problems": [*map(asdict, found)],
        }
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        for problem in found:
            typer.echo(str(problem), err=True)
        typer.echo(_sentence(len(files), len(broken), errors, len(found) - errors))
    raise typer.Exit(Exit.INVALID if broken else Exit.COMPLETED)


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
    from noetl_stream.cli.playbooks import environment_here, kinds_here, text_of
    from noetl_stream.editor.checking import problems_of

    text = text_of(file)
    return problems_of(text, str(file), kinds_here(), environment_here(text))


def _sentence(files: int, broken: int, errors: int, warnings: int) -> str:
    """`2 playbooks can run, 1 warning`, `1 of 2 playbooks cannot run: 3 errors, 1 warning`."""
    counts = [counted(errors, "error")] * bool(errors) + [counted(warnings, "warning")] * bool(warnings)
    if broken:
        return f"{broken} of {counted(files, 'playbook')} cannot run: {', '.join(counts)}"
    return ", ".join([f"{counted(files, 'playbook')} can run", *counts])


def counted(count: int, word: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
