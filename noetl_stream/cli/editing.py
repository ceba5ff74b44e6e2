"""`schema`, `fmt` and `lsp`: what editors need."""

from __future__ import annotations

import json
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from noetl_stream.cli.check import counted
from noetl_stream.cli.ending import Exit
from noetl_stream.cli.options import Debug, Json
from noetl_stream.errors import InfrastructureError, InvalidPlaybook, InvalidRequest, Problem

STDIN = Path("-")

Places = Annotated[
    list[Path], typer.Argument(metavar="FILE|DIR…", help="Playbooks, or folders of them; `-` is stdin.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there.")]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not in canonical form.")
]
Diff = Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(schema)
    app.command()(fmt)
    app.command()(lsp)


def schema(out: Out = None, debug: Debug = False) -> None:
    """Print the JSON Schema of playbooks, with the tools that are installed here.

    Example: `noetl-stream schema --out playbook.schema.json`
    """
    from noetl_stream.cli.playbooks import kinds_here
    from noetl_stream.editor.json_schema import schema_text

    text = schema_text(kinds_here())
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(out, text)


def fmt(
    places: Places, check: Check = False, diff: Diff = False, as_json: Json = False, debug: Debug = False
) -> None:
    """Put playbooks into canonical form: spellings, order of keys, indentation, blank lines. What they mean stays.

    Comments and quotes are kept. With `-` stdin is read and the result goes to stdout.

    Examples: `noetl-stream fmt playbooks/` · `noetl-stream fmt sales.yaml --check --diff`
    """
    from noetl_stream.cli.playbooks import files_of, text_of

    files = places if places == [STDIN] else files_of(places)
    written = {file: sys.stdin.read() if file == STDIN else text_of(file) for file in files}
    formatted, problems = _formatted(written)
    changed = {file: text for file, text in formatted.items() if text != written[file]}
    for file, text in changed.items() if diff else ():
        typer.echo(_diff(file, written[file], text), nl=False)
    if not (check or diff):
        for file, text in (formatted if places == [STDIN] else changed).items():
            _write(file, text)
    if as_json:
        shown = {"files": [*map(str, files)], "changed": [*map(str, changed)]}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    elif files != [STDIN]:
        done = "would be changed" if check or diff else "changed"
        typer.echo(f"{len(changed)} of {counted(len(files), 'playbook')} {done}", err=True)
    if problems:
        raise InvalidPlaybook(tuple(problems))
    raise typer.Exit(Exit.FAILED if check and changed else Exit.COMPLETED)


def lsp(debug: Debug = False) -> None:
    """Serve an editor on stdin and stdout, in the Language Server Protocol.

    Example: `noetl-stream lsp`, started by the editor
    """
    try:
        from noetl_stream.editor.server import PlaybookServer
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"the language server needs {error.name}; pip install 'noetl-stream[lsp]'"
        ) from error
    from importlib.metadata import version

    from noetl_stream.cli.playbooks import kinds_here

    PlaybookServer(version("noetl-stream"), kinds_here()).start_io()


def _formatted(written: dict[Path, str]) -> tuple[dict[Path, str], list[Problem]]:
    """Each file's canonical form, and why the others have none."""
    from noetl_stream.cli.playbooks import kinds_here
    from noetl_stream.editor.formatting import formatted

    found: dict[Path, str] = {}
    problems: list[Problem] = []
    for file, text in written.items():
        try:
            found[file] = formatted(text, str(file), kinds_here())
        except InvalidPlaybook as error:
            problems += error.problems
    return found, problems


def _diff(file: Path, before: str, after: str) -> str:
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    return "".join(unified_diff(old, new, fromfile=str(file), tofile=f"{file} (canonical)"))


def _write(file: Path, text: str) -> None:
    if file == STDIN:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InfrastructureError(f"{file} cannot be written ({error}); check its folder") from error
