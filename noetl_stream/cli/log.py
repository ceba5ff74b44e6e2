"""`status`, `events`, `replay` and `cancel`: what the log says of one execution. Only the log is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.core.execution import Execution
    from noetl_stream.core.report import Story
    from noetl_stream.replay.telling import Moment, Told
    from noetl_stream.settings import Settings

Id = Annotated[int, typer.Argument(metavar="EXECUTION", min=1, help="The execution's id.")]
Resolve = Annotated[
    bool, typer.Option("--resolve", help="Fetch results that stand in the cache, which must be reachable.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution has ended.")]
Step = Annotated[
    str | None,
    typer.Option("--step", metavar="ADDRESS", help="Only this iteration: STEP, STEP[17] or STEP#2[17]."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the log.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="ISO 8601 (UTC unless it says so) or epoch seconds."),
]
ToEvent = Annotated[
    int | None,
    typer.Option("--to-event", metavar="N", min=1, help="The N-th record, as `events` numbers them."),
]
Offset = Annotated[
    int | None,
    typer.Option("--offset", metavar="N", min=0, help="The record at this offset of its partition."),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (status, events, replay, cancel):
        app.command()(command)


def status(
    ctx: typer.Context,
    execution: Id,
    resolve: Resolve = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """How an execution stands. Results that are references are shown as such, unless `--resolve` fetches them.

    Examples: `noetl-stream status 3155905906115324390` · `noetl-stream status 3155905906115324390 --json --bootstrap kafka:9092`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_status(settings, execution, resolve=resolve, as_json=as_json)))


async def _status(settings: Settings, execution: int, *, resolve: bool, as_json: bool) -> int:
    from noetl_stream.cli.documented import documented
    from noetl_stream.cli.reading import opened

    async with opened(settings) as installation:
        story = await installation.story(execution)
        results: Mapping[str, Value] = story.machine.results if story.machine else {}
        if resolve:
            results = await _fetched(settings, results)
    show_status(documented(story.as_json(results)), as_json=as_json)
    return Exit.COMPLETED


def show_status(report: Mapping[str, Value], *, as_json: bool) -> None:
    """A report on stdout, whole as JSON, or its state, steps and results."""
    if as_json:
        from noetl_stream.cli.documented import as_json as text

        typer.echo(text(report))
        return
    from noetl_stream.cli.shown import console, show_results, show_state, show_steps

    out = console()
    show_state(out, report)
    show_steps(out, report["steps"])
    show_results(out, report["results"])


def show_end(story: Story, *, as_json: bool) -> int:
    """An execution that was awaited, and the exit code that says how it ended."""
    from noetl_stream.cli.documented import documented

    results: Mapping[str, Value] = story.machine.results if story.machine else {}
    show_status(documented(story.as_json(results)), as_json=as_json)
    return Exit.COMPLETED if story.status == "COMPLETED" else Exit.FAILED


async def _fetched(settings: Settings, results: Mapping[str, Value]) -> Mapping[str, Value]:
    from noetl_stream.client.results import resolved
    from noetl_stream.wiring import cache_of

    cache = await cache_of(settings)
    try:
        return {name: await resolved(cache, value) for name, value in results.items()}
    finally:
        await cache.close()


def events(
    ctx: typer.Context,
    execution: Id,
    follow: Follow = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """An execution's records, each with the fold's verdict: what was accepted, repeated, or came too late.

    With `--json` one object to a line. Examples: `noetl-stream events 3155905906115324390` · `noetl-stream events 3155905906115324390 --follow`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_events(settings, execution, follow=follow, as_json=as_json)))


async def _events(settings: Settings, execution: int, *, follow: bool, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.client.installation import unknown
    from noetl_stream.ids import partition_of
    from noetl_stream.replay.telling import tell

    async with opened(settings) as installation:
        topics, reader = installation.topics, installation.reader
        stop = await reader.end(topics.events.name, partition_of(execution, topics.events.partitions))
        number = 0
        async for told in tell(reader, topics, execution, stop=None if follow else stop):
            number += 1
            typer.echo(_line(number, told, as_json=as_json))
            if follow and told.folded.machine is not None and told.folded.machine.over:
                break
    if not number:
        raise unknown(execution)
    return Exit.COMPLETED


def _line(number: int, told: Told, *, as_json: bool) -> str:
    from noetl_stream.cli.documented import iso, plain
    from noetl_stream.cli.sentences import sentence

    said, verdict = sentence(told.event), told.folded.verdict
    if not as_json:
        note = "" if verdict == "accepted" else f"[{verdict}] "
        return f"{number:>4}  {told.record.offset:>8}  {iso(told.at)}  {note}{said}"
    found = {
        "number": number,
        "offset": told.record.offset,
        "partition": told.record.partition,
        "at": iso(told.at),
        "type": type(told.event).__name__,
        "verdict": verdict,
        "sentence": said,
        "event": plain(told.event),
    }
    return json.dumps(found, ensure_ascii=False)


def replay(
    ctx: typer.Context,
    execution: Id,
    at: At = None,
    to_event: ToEvent = None,
    offset: Offset = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """An execution's state at a past moment, folded from the log. Without a moment: its latest state.

    With `--json` the full state and its hash. Examples: `noetl-stream replay 3155905906115324390 --to-event 4` ·
    `noetl-stream replay 3155905906115324390 --at 2026-01-31T12:00:00Z --json`
    """
    moment = _moment(at, to_event, offset)
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_replay(settings, execution, moment, as_json=as_json)))


def _moment(at: str | None, to_event: int | None, offset: int | None) -> Moment:
    from noetl_stream.replay.telling import Moment

    return Moment(at=None if at is None else _seconds(at), number=to_event, offset=offset)


def _seconds(text: str) -> float:
    try:
        return _epoch_seconds(text)
    except ValueError:
        raise InvalidRequest(
            f"--at {text}: write a time like 2026-01-31T12:00:00Z, or epoch seconds"
        ) from None


def _epoch_seconds(text: str) -> float:
    with suppress(ValueError):
        seconds = float(text)
        if isfinite(seconds):
            return seconds
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


async def _replay(settings: Settings, execution: int, moment: Moment, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.replay.telling import state_at

    async with opened(settings) as installation:
        state = await state_at(installation.reader, installation.topics, execution, moment)
        if state is None:
            await installation.story(execution)
            raise InvalidRequest(f"execution {execution} did not exist yet at that moment; name a later one")
    _show(state, as_json=as_json)
    return Exit.COMPLETED


def _show(state: Execution, *, as_json: bool) -> None:
    from noetl_stream.cli.documented import as_json as text
    from noetl_stream.cli.states import full, show

    if as_json:
        typer.echo(text(full(state)))
    else:
        show(state)


def cancel(
    ctx: typer.Context,
    execution: Id,
    step: Step = None,
    reason: Reason = "",
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask for an execution to stop. It is final once accepted; a stopped installation heeds it when it runs again.

    With `--step` one iteration alone stops, or never begins: it has failed, and its loop's `on_error` decides what follows.
    Examples: `noetl-stream cancel 3155905906115324390 --reason "wrong month"` ·
    `noetl-stream cancel 3155905906115324390 --step 'load[17]'`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    if step is not None:
        from noetl_stream.cli.iterations import cancel_one

        raise typer.Exit(carry_out(cancel_one(settings, execution, step, reason, as_json=as_json)))
    raise typer.Exit(carry_out(_cancel(settings, execution, reason, as_json=as_json)))


async def _cancel(settings: Settings, execution: int, reason: str, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened

    async with opened(settings) as installation:
        story = await installation.story(execution)
        if story.end is not None:
            raise InvalidRequest(
                f"execution {execution} has ended already: {story.status}; nothing is left to cancel"
            )
        await installation.cancel(execution, reason)
    asked = {"execution_id": str(execution), "cancel": "requested"}
    typer.echo(json.dumps(asked) if as_json else f"cancelling {execution} is requested")
    return Exit.COMPLETED
