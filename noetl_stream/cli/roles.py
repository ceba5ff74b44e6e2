"""`up`, the single roles and `topics`: what runs until it is told to end, and what it stands on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli import logs
from noetl_stream.cli.broker import PORT
from noetl_stream.cli.ending import Exit, carry_out, ended_role
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, Pools, settings_of
from noetl_stream.cli.ready import say_ready
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.adapters.admin import Standing
    from noetl_stream.settings import Settings

Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port of the embedded broker; 0: any free one.")
]
_DAY_MS = 86_400_000


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (up, worker, orchestrator, intake, topics):
        app.command()(command)


def up(
    ctx: typer.Context,
    port: Port = PORT,
    pools: Pools = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Everything in one process until Ctrl-C: the embedded broker unless a cluster is named, and all roles.

    Says where things are once they are ready. Examples: `noetl-stream up --data .noetl` · `noetl-stream up --bootstrap kafka:9092 --pool default --pool gpu`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data, pools=pools)
    raise typer.Exit(ended_role(carry_out(_up(settings, port, as_json=as_json))))


async def _up(settings: Settings, port: int, *, as_json: bool) -> int:
    logs.of_a_role()
    async with _broker(settings, port) as starting:
        from noetl_stream.cli.running import installation
        from noetl_stream.wiring_chores import register_chores, with_chores

        reached = with_chores(settings.at(await starting))
        async with installation(reached) as platform:
            await register_chores(platform)
            say_ready("up", _place(reached), as_json=as_json)
            await asyncio.Event().wait()
    return Exit.COMPLETED


@asynccontextmanager
async def _broker(settings: Settings, port: int) -> AsyncIterator[asyncio.Future[str]]:
    from noetl_stream.cli.embedded import bootstrap_of

    async with bootstrap_of(settings.bootstrap, settings.data, port=port) as address:
        yield address


def worker(
    ctx: typer.Context,
    pools: Pools = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Only workers, for the pools named (default: those of the settings). Add processes to add capacity.

    Example: `noetl-stream worker --pool gpu --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    served = tuple(pools or settings.pools)
    # Serving some pools does not unmake the others: a playbook may name them in its other steps.
    existing = tuple(dict.fromkeys((*settings.pools, *served)))
    reached = settings.model_copy(update={"pools": existing})
    _serve(reached, "worker", [f"worker:{pool}" for pool in served], as_json=as_json)


def orchestrator(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Only an orchestrator. Several share the event log's partitions.

    Example: `noetl-stream orchestrator --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    _serve(settings, "orchestrator", ["orchestrator"], as_json=as_json)


def intake(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Only intake: requests in, request facts out.

    Example: `noetl-stream intake --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    _serve(settings, "intake", ["intake"], as_json=as_json)


def _serve(settings: Settings, name: str, roles: list[str], *, as_json: bool) -> None:
    raise typer.Exit(ended_role(carry_out(_roles(settings, name, roles, as_json=as_json))))


async def _roles(settings: Settings, name: str, roles: list[str], *, as_json: bool) -> int:
    from noetl_stream.agents.roles import running
    from noetl_stream.wiring import open_platform

    logs.of_a_role()
    reached = settings.model_copy(update={"bootstrap": await _address(settings, name)})
    async with open_platform(reached) as platform, running(platform, roles):
        say_ready(name, _place(reached), as_json=as_json)
        await asyncio.Event().wait()
    return Exit.COMPLETED


async def _address(settings: Settings, name: str) -> str:
    """The named cluster, or the broker that runs on the data folder."""
    from noetl_stream.cli.reading import running_on

    address = settings.bootstrap or await running_on(settings)
    if address is None:
        raise InvalidRequest(
            f"`{name}` needs a broker: name one with --bootstrap HOST:PORT, or the data folder of a running `up`"
        )
    return address


def topics(
    ctx: typer.Context,
    pools: Pools = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Create the topics that are missing, and list all with partitions and settings as the broker has them.

    Example: `noetl-stream topics --bootstrap kafka:9092 --pool default --pool gpu`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data, pools=pools)
    raise typer.Exit(carry_out(_topics(settings, as_json=as_json)))


async def _topics(settings: Settings, *, as_json: bool) -> int:
    logs.of_a_command()
    from noetl_stream.adapters.admin import ensure_topics, standing_topics
    from noetl_stream.cli.reading import running_on

    where = settings.bootstrap or await running_on(settings) or ""
    settings = settings.model_copy(update={"bootstrap": where})
    async with _broker(settings, 0) as starting:
        reached = settings.at(await starting)
        address, security = reached.bootstrap, reached.security
        created = await ensure_topics(
            address, settings.topics.all(settings.pools), settings.timeout, security
        )
        standing = await standing_topics(address, settings.prefix, settings.timeout, security)
    rows = [_row(topic, created=topic.name in created) for topic in standing]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return Exit.COMPLETED
    from noetl_stream.cli.shown import console, show_table

    show_table(console(), [_flat(row) for row in rows], len(rows))
    return Exit.COMPLETED


def _row(topic: Standing, *, created: bool) -> dict[str, Value]:
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "settings": dict(topic.settings),
        "created": created,
    }


def _flat(row: Mapping[str, Value]) -> dict[str, Value]:
    """A row for people, narrow enough for a terminal."""
    cleanup = row["settings"].get("cleanup.policy", "")
    retention = int(row["settings"].get("retention.ms", -1))
    return {
        "topic": row["topic"],
        "partitions": row["partitions"],
        "replicas": row["replication"],
        "cleanup": cleanup,
        "keeps": "for ever" if retention < 0 or cleanup == "compact" else f"{retention / _DAY_MS:g} days",
        "": "created" if row["created"] else "",
    }


def _place(settings: Settings) -> Mapping[str, str | Sequence[str]]:
    return {
        "bootstrap": settings.bootstrap,
        "data": str(settings.data.absolute()),
        "pools": settings.pools,
    }
