"""`tools`: the kinds of tasks that can run here, and a kind's keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.options import Debug, Json
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.editor.kind_keys import Listed

Name = Annotated[str | None, typer.Argument(metavar="KIND", help="The kind whose keys are wanted.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(tools)


def tools(kind: Name = None, as_json: Json = False, debug: Debug = False) -> None:
    """List the kinds of tasks, plugins included, or one kind's keys.

    Examples: `noetl-stream tools` · `noetl-stream tools http`
    """
    from noetl_stream.cli.playbooks import kinds_here
    from noetl_stream.editor.kind_keys import listed

    found = listed(kinds_here())
    if kind is not None:
        _one(_named(kind, found), as_json=as_json)
    elif as_json:
        typer.echo(json.dumps([_summary(each) for each in found], indent=2))
    else:
        _all(found)


def _named(name: str, found: tuple[Listed, ...]) -> Listed:
    from noetl_stream.dsl.kinds import ALIASES

    for each in found:
        if each.kind == ALIASES.get(name, name):
            return each
    near = get_close_matches(name, [each.kind for each in found], 1)
    hint = f"did you mean '{near[0]}'?" if near else "`noetl-stream tools` lists them"
    raise InvalidRequest(f"there is no kind of tool '{name}'; {hint}")


def _summary(kind: Listed) -> dict[str, object]:
    return {name: value for name, value in asdict(kind).items() if name != "keys"}


def _all(found: tuple[Listed, ...]) -> None:
    rows = ((kind.kind, kind.nature or "", _here(kind), kind.summary) for kind in found)
    _print_table(("kind", "nature", "here", "what it does"), rows)


def _here(kind: Listed) -> str:
    if kind.installed:
        return "yes"
    return f"pip install 'noetl-stream[{kind.extra}]'" if kind.extra else "no"


def _one(kind: Listed, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(kind), indent=2, ensure_ascii=False))
        return
    typer.echo(f"{kind.kind}: {kind.summary}")
    if not kind.installed:
        typer.echo(f"here: {_here(kind)}")
    rows = ((key.name, key.type, key.otherwise, key.said) for key in kind.keys)
    _print_table(("key", "type", "default", "meaning"), rows)


def _print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from noetl_stream.cli.shown import console

    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)
