"""`run`: one playbook to its end, with everything it needs in this process and nothing left behind."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli import logs
from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.inputs import inputs
from noetl_stream.cli.options import (
    Bootstrap,
    Data,
    Debug,
    Json,
    Payload,
    Sets,
    Timeout,
    names_data,
    settings_of,
)
from noetl_stream.cli.timings import Timings
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.cli.playbooks import Document
    from noetl_stream.commitlog.fsync import FsyncPolicy
    from noetl_stream.core.report import Story
    from noetl_stream.settings import Settings
    from noetl_stream.wiring import Platform

OneFile = Annotated[Path, typer.Argument(metavar="FILE", help="The playbook to run.")]
Catalog = Annotated[
    list[Path] | None,
    typer.Option("--catalog", metavar="DIR", help="Register every playbook under DIR; may be repeated."),
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.json", help="Write the report there (docs/report.md).")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
ShowTimings = Annotated[bool, typer.Option("--timings", help="Say on stderr where the time went.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run was asked for, checked."""

    playbook: Document
    others: tuple[Document, ...]
    payload: Mapping[str, Value]
    settings: Settings
    durable: bool
    timeout: float | None
    as_json: bool
    report: Path | None
    quiet: bool


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


def run(
    ctx: typer.Context,
    file: OneFile,
    sets: Sets = None,
    payload: Payload = None,
    catalog: Catalog = None,
    data: Data = None,
    bootstrap: Bootstrap = None,
    timeout: Timeout = None,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
    timings: ShowTimings = False,
    debug: Debug = False,
) -> None:
    """Run one playbook to its end, on an embedded broker unless a cluster is named.

    Without `--data` the broker's log lives in a temporary folder and is gone at the end.

    Examples: `noetl-stream run hello.yaml --set who=you` · `noetl-stream run demo/flights.yaml --catalog demo --report out.json`
    """
    clock = Timings()
    given = inputs(payload, sets or ())
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    playbook, others = _documents(file, catalog or [])
    _check_writable(report)
    clock.mark("check")
    asked = Request(
        playbook=playbook,
        others=others,
        payload=given,
        settings=settings,
        durable=bool(settings.bootstrap) or names_data(ctx, data),
        timeout=timeout,
        as_json=as_json,
        report=report,
        quiet=quiet,
    )
    code = carry_out(_run(asked, clock))
    if timings:
        typer.echo(clock.line(), err=True)
    raise typer.Exit(code)


def _documents(file: Path, catalog: list[Path]) -> tuple[Document, tuple[Document, ...]]:
    from noetl_stream.cli.playbooks import catalogued, checked, checked_all, files_of, warn

    (playbook,) = checked_all([file], checked)
    warn([playbook])
    return playbook, catalogued(f for f in files_of(catalog) if f.resolve() != file.resolve())


def _check_writable(report: Path | None) -> None:
    """A run shall not find out at its end that its report has no place."""
    if report is None:
        return
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.open("a").close()
    except OSError as error:
        raise InvalidRequest(f"--report {report} cannot be written ({error}); name another file") from error


async def _run(asked: Request, clock: Timings) -> int:
    logs.of_a_command()
    from noetl_stream.cli.embedded import bootstrap_of

    async with _place(asked) as settings:
        # What a temporary broker keeps need not survive a power cut.
        fsync: FsyncPolicy = "commit" if asked.durable else "none"
        async with bootstrap_of(settings.bootstrap, settings.data, fsync=fsync) as broker:
            # These imports cost as much as the broker's start, which goes on meanwhile.
            from noetl_stream.cli.running import installation

            clock.mark("imports")
            reached = settings.at(await broker)
            clock.mark("broker")
            async with installation(reached) as platform:
                clock.mark("roles")
                story = await _carried_out(platform, asked)
                clock.mark("run")
                code = await _end(platform, story, asked)
                clock.mark("result")
        clock.mark("down")
    return code


@asynccontextmanager
async def _place(asked: Request) -> AsyncIterator[Settings]:
    """The settings, with pools for all that the playbooks name, and a folder that is kept only if asked for."""
    plans = [document.plan for document in (asked.playbook, *asked.others)]
    named = sorted({step.pool for plan in plans for step in plan.steps.values()})
    pools = tuple(dict.fromkeys([*asked.settings.pools, *named]))
    if asked.durable:
        yield asked.settings.model_copy(update={"pools": pools})
        return
    # What holds one execution and its children needs no partitions to share among owners.
    few = {} if "partitions" in asked.settings.model_fields_set else {"partitions": 1}
    with tempfile.TemporaryDirectory(prefix="noetl-", ignore_cleanup_errors=True) as place:
        yield asked.settings.model_copy(update={"pools": pools, "data": Path(place), **few})


async def _carried_out(platform: Platform, asked: Request) -> Story:
    from noetl_stream.cli.progress import progress
    from noetl_stream.cli.running import Job, run_to_end

    if not asked.quiet:
        logs.show_prints()
    for document in (*asked.others, asked.playbook):
        await platform.catalog.register(document.plan.path, document.text)
    job = Job(
        path=asked.playbook.plan.path,
        payload=asked.payload,
        key=uuid.uuid4().hex,
        tenant=platform.settings.tenant,
    )
    with progress(quiet=asked.quiet) as shown:
        return await run_to_end(platform, job, timeout=asked.timeout, watch=shown.tell, durable=asked.durable)


async def _end(platform: Platform, story: Story, asked: Request) -> int:
    from noetl_stream.cli.documented import as_json, documented
    from noetl_stream.cli.running import report_of

    needs_all = asked.as_json or asked.report is not None
    report = documented(await report_of(platform, story) if needs_all else story.as_json({}))
    if asked.report is not None:
        asked.report.write_text(as_json(report) + "\n")
    if asked.as_json:
        typer.echo(as_json(report))
    else:
        await _show(platform, story, report)
    return Exit.COMPLETED if story.status == "COMPLETED" else Exit.FAILED


async def _show(platform: Platform, story: Story, report: Mapping[str, Value]) -> None:
    from noetl_stream.cli.shown import console, show_report, written
    from noetl_stream.worker.hydrate import hydrate

    results = {} if story.machine is None else story.machine.results
    result = None if story.end is None else await hydrate(platform.cache, story.end.result)
    files = dict.fromkeys(written([*results.values(), result], since=story.started_at or 0.0))
    show_report(console(), report, result, files)
