"""What a role says once it is ready: one JSON line for programs, or where things are for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import typer

from noetl_stream.cli import logs


def say_ready(name: str, place: Mapping[str, str | Sequence[str]], *, as_json: bool) -> None:
    """`name` is ready, and `place` says where."""
    logs.once_connected()
    if as_json:
        typer.echo(json.dumps({"ready": name, **place}))
        return
    typer.echo(f"{name} is ready; Ctrl-C ends it")
    for key, where in place.items():
        typer.echo(f"  {key:<10} {where if isinstance(where, str) else ', '.join(where)}")
