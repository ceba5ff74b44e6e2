"""`fork`: a new execution that shares the past of another one, and begins one iteration, or a step, anew."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.inputs import inputs
from noetl_stream.cli.log import Id
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, Sets, Timeout, settings_of
from noetl_stream.cli.register import Key, Wait
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.adapters.versions import Entry
    from noetl_stream.client.installation import Installation
    from noetl_stream.core.events import ExecutionRequested
    from noetl_stream.replay.parting import Parting
    from noetl_stream.settings import Settings

From = Annotated[
    str, typer.Option("--from", metavar="ADDRESS", help="What begins anew: STEP, STEP[17] or STEP#2[17].")
]


OtherVersion = Annotated[
    int | None, typer.Option("--version", min=1, help="Another version. Default: the execution's own.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which fork is asked for. The same key again is the same execution."""

    source: int
    address: str
    sets: Mapping[str, Value]
    version: int | None
    key: str


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(fork)


def fork(
    ctx: typer.Context,
    execution: Id,
    address: From,
    sets: Sets = None,
    version: OtherVersion = None,
    key: Key = None,
    wait: Wait = False,
    timeout: Timeout = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Start a new execution that shares the past of another one, ended or not, and begins one iteration, or a step, anew.

    All results before are there, by reference; what was in flight then runs again too. `--set` changes inputs, `--version`
    the playbook's version, which is else the one of the execution; that stays as it is.
    Examples: `noetl-stream fork 3155905906115324390 --from 'load[17]' --wait` ·
    `noetl-stream fork 3155905906115324390 --from report --set month=2 --version 4`
    """
    wanted = Wanted(
        source=execution,
        address=address,
        sets=inputs(None, sets or ()),
        version=version,
        key=key or uuid.uuid4().hex,
    )
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_fork(settings, wanted, wait=wait, timeout=timeout, as_json=as_json)))


async def _fork(
    settings: Settings, wanted: Wanted, *, wait: bool, timeout: float | None, as_json: bool
) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.ids import execution_id

    async with opened(settings, running=wait) as installation:
        parting = await _parting(installation, wanted)
        request = _request(await _entry(installation, parting, wanted.version), parting, wanted)
        born = execution_id(bytes.fromhex(request.identity))
        if await installation.report(born, request) == "rejected":
            raise InvalidRequest(f"execution {born} cannot begin with that past; upgrade this installation")
        if wait:
            return await _followed(installation, born, timeout=timeout, as_json=as_json)
    asked = {"execution_id": str(born), "playbook": request.path, "forked_from": str(wanted.source)}
    typer.echo(json.dumps(asked, ensure_ascii=False) if as_json else f"execution {born}")
    return Exit.COMPLETED


async def _parting(installation: Installation, wanted: Wanted) -> Parting:
    from noetl_stream.client.installation import unknown
    from noetl_stream.replay.parting import part

    found = await part(installation.reader, installation.topics, wanted.source, wanted.address)
    if found is None:
        raise unknown(wanted.source)
    return found


async def _entry(installation: Installation, parting: Parting, version: int | None) -> Entry | None:
    """The version that the fork runs, if another one is wanted. Raises InvalidRequest if the past does not fit it."""
    from noetl_stream.core.forking import misfit
    from noetl_stream.wiring import compiler

    path = parting.source.path
    if version is None:
        return None
    async with installation.catalog() as catalog:
        entry = catalog.lookup(path, version)
    if entry is None:
        raise InvalidRequest(f"playbook '{path}' has no version {version}; see `noetl-stream list`")
    plan = compiler(installation.settings)(entry)
    if (why := misfit(plan, parting.past)) is not None:
        raise InvalidRequest(
            f"version {version} of '{path}' cannot go on from there: {why}; fork an earlier step"
        )
    return entry


def _request(entry: Entry | None, parting: Parting, wanted: Wanted) -> ExecutionRequested:
    from noetl_stream.client.installation import ACTOR

    event = parting.request(
        sets=wanted.sets, key=wanted.key, seed=secrets.token_hex(16), now=time.time(), actor=ACTOR
    )
    if entry is None:
        return event
    return replace(event, version=entry.version, digest=entry.digest, catalog_offset=entry.offset)


async def _followed(
    installation: Installation, execution: int, *, timeout: float | None, as_json: bool
) -> int:
    from noetl_stream.cli.log import show_end
    from noetl_stream.cli.progress import progress
    from noetl_stream.client.jobs import follow

    with progress(quiet=as_json) as shown:
        story = await follow(
            installation.reader, installation.topics, execution, timeout=timeout, watch=shown.tell
        )
    return show_end(story, as_json=as_json)
