"""`cache`: what there is to do about the shared cache."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of

if TYPE_CHECKING:
    from noetl_stream.replay.sweeping import Swept
    from noetl_stream.settings import Settings

Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands below `cache`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.command()(expire)
    app.add_typer(group, name="cache", help="The shared cache.")


def expire(
    ctx: typer.Context,
    dry_run: Dry = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove results whose `ttl`, or whose playbook's `retention`, is over. What a live execution still needs stays.

    Reads the whole log once; run it as often as you like. Examples: `noetl-stream cache expire --dry-run` · `noetl-stream cache expire --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_expire(settings, dry=dry_run, as_json=as_json)))


async def _expire(settings: Settings, *, dry: bool, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.replay.standing import standing
    from noetl_stream.replay.sweeping import sweep
    from noetl_stream.wiring import cache_of

    async with opened(settings) as installation:
        cache = await cache_of(settings)
        try:
            stands = await standing(installation.reader, installation.topics)
            found = await sweep(cache, stands, time.time(), dry=dry)
        finally:
            await cache.close()
    _tell(found, dry=dry, as_json=as_json)
    return Exit.COMPLETED


def _tell(found: Swept, *, dry: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"expired": found.gone, "needed": found.needed, "removed": not dry}, indent=2))
        return
    done = "would go" if dry else "went"
    typer.echo(f"objects that {done}: {len(found.gone)}; kept for executions that live: {len(found.needed)}")
