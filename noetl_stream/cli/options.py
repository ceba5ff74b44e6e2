"""Options that several commands share, and the settings they choose."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import DEBUG
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.settings import Settings


def _debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.meta[DEBUG] = True
    return value


Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap", metavar="HOST:PORT", help="Kafka brokers, comma-separated. Default: an embedded one."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the embedded broker's log, cache and scratch."),
]
Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show tracebacks of our own errors.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Pools = Annotated[
    list[str] | None, typer.Option("--pool", metavar="NAME", help="A worker pool; may be repeated.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="An input, over the payload; may be repeated. Dots nest, values are YAML or JSON.",
    ),
]
Payload = Annotated[
    str | None, typer.Option("--payload", metavar="JSON|@FILE", help="The inputs as a JSON object.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after so long.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What was given before the command's name."""

    bootstrap: str | None = None
    data: Path | None = None


def settings_of(
    ctx: typer.Context, *, bootstrap: str | None, data: Path | None, pools: list[str] | None = None
) -> Settings:
    """The settings in force: a command's own options, else those before its name, else the environment's."""
    from pydantic import ValidationError

    from noetl_stream.settings import settings_from_environment

    before: Chosen = ctx.obj
    try:
        return settings_from_environment(
            bootstrap=bootstrap or before.bootstrap,
            data=data or before.data,
            pools=tuple(pools) if pools else None,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(
            f"setting '{'.'.join(map(str, first['loc']))}': {first['msg']}; see docs/settings.md"
        ) from error


def names_data(ctx: typer.Context, data: Path | None) -> bool:
    """Whether a data folder was chosen anywhere, rather than left to its default."""
    before: Chosen = ctx.obj
    return bool(data or before.data or os.environ.get("NOETL_STREAM_DATA"))
