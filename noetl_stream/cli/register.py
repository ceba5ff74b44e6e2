"""`register`, `list` and `submit`: the catalog, and asking for what stands in it."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.inputs import inputs
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, Payload, Sets, Timeout, settings_of
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.adapters.catalog import KafkaCatalog
    from noetl_stream.cli.playbooks import Document, Subscribed
    from noetl_stream.client.installation import Installation
    from noetl_stream.client.jobs import Job
    from noetl_stream.settings import Settings

Places = Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="Playbooks, or folders of them.")]
PathOf = Annotated[str, typer.Argument(metavar="PATH", help="A playbook's path in the catalog.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: the same key again is the same execution.")
]
Version = Annotated[int | None, typer.Option("--version", min=1, help="A version. Default: the newest.")]
Lane = Annotated[
    Literal["high", "normal", "low"] | None,
    typer.Option("--priority", help="The lane of its blocks, where their steps say nothing."),
]
Within = Annotated[
    float | None,
    typer.Option("--deadline", metavar="SECONDS", min=0.0, help="Fail what has not ended after so long."),
]
ReplyTo = Annotated[
    str | None, typer.Option("--reply-to", metavar="TOPIC", help="Where its reply goes; it must be allowed.")
]
Correlation = Annotated[
    str | None, typer.Option("--correlation", metavar="TEXT", help="What comes back in the reply.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the log until the execution has ended.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(register)
    app.command("list")(list_catalog)
    app.command()(submit)


def register(
    ctx: typer.Context,
    places: Places,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Put playbooks and subscriptions into the catalog under their `metadata.path`. All are checked first; the same text again is no new version.

    Examples: `noetl-stream register sales.yaml` · `noetl-stream register playbooks/ --bootstrap kafka:9092`
    """
    from noetl_stream.cli.playbooks import checked_all, files_of, registrable, warn

    documents = checked_all(files_of(places), registrable)
    warn(documents)
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_register(settings, documents, as_json=as_json)))


async def _register(
    settings: Settings, documents: tuple[Document | Subscribed, ...], *, as_json: bool
) -> int:
    from noetl_stream.cli.playbooks import warn_missing
    from noetl_stream.cli.reading import opened

    async with opened(settings) as installation, installation.catalog() as catalog:
        await installation.schemas.publish()
        warn_missing(documents, catalog.paths())
        registered = [await _registered(catalog, document) for document in documents]
    if as_json:
        typer.echo(json.dumps(registered, indent=2))
    for entry in [] if as_json else registered:
        typer.echo(f"{entry['path']} version {entry['version']}")
    return Exit.COMPLETED


async def _registered(catalog: KafkaCatalog, document: Document | Subscribed) -> dict[str, Value]:
    version, offset = await catalog.register(document.plan.path, document.text)
    return {"path": document.plan.path, "version": version, "offset": offset, "file": str(document.file)}


def list_catalog(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The catalog: every path with its newest version and what it says of itself.

    Example: `noetl-stream list --json`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_list(settings, as_json=as_json)))


async def _list(settings: Settings, *, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened

    async with opened(settings) as installation, installation.catalog() as catalog:
        entries = [_entry(catalog, path) for path in catalog.paths()]
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False, indent=2))
    elif entries:
        from noetl_stream.cli.shown import console, show_table

        show_table(console(), entries, len(entries))
    else:
        typer.echo("the catalog is empty; register playbooks with `noetl-stream register FILE`")
    return Exit.COMPLETED


def _entry(catalog: KafkaCatalog, path: str) -> dict[str, Value]:
    from noetl_stream.dsl.source import load

    newest = catalog.lookup(path)
    assert newest is not None  # a path is in the catalog by its versions
    described = load(newest.text, path).get("metadata", "description")
    description = "" if described is None else str(described.value).strip()
    return {"path": path, "versions": newest.version, "description": description}


def submit(
    ctx: typer.Context,
    path: PathOf,
    sets: Sets = None,
    payload: Payload = None,
    key: Key = None,
    version: Version = None,
    priority: Lane = None,
    deadline: Within = None,
    reply_to: ReplyTo = None,
    correlation: Correlation = None,
    wait: Wait = False,
    timeout: Timeout = None,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask a running installation for an execution, as any service would: one record on its request topic.

    With `--wait` the exit code says how it ended. Examples: `noetl-stream submit examples/hello --set who=you` ·
    `noetl-stream submit sales --payload @january.json --key january --wait` · `noetl-stream submit sales --priority low --deadline 3600`
    """
    from noetl_stream.client.jobs import Job, Options

    given, settings = inputs(payload, sets or ()), settings_of(ctx, bootstrap=bootstrap, data=data)
    options = Options(
        priority=priority,
        deadline=None if deadline is None else time.time() + deadline,
        reply_to=reply_to,
        correlation=correlation,
    )
    key = key or uuid.uuid4().hex
    job = Job(path=path, payload=given, key=key, version=version, tenant=settings.tenant, options=options)
    raise typer.Exit(carry_out(_submit(settings, job, wait=wait, timeout=timeout, as_json=as_json)))


async def _submit(settings: Settings, job: Job, *, wait: bool, timeout: float | None, as_json: bool) -> int:
    from noetl_stream.cli.reading import opened
    from noetl_stream.client.jobs import ask

    async with opened(settings, running=True) as installation:
        async with installation.catalog() as catalog:
            _check_known(catalog, job)
        if wait:
            return await _followed(installation, job, timeout=timeout, as_json=as_json)
        await ask(installation.log, installation.topics, job)
    asked = {"execution_id": str(job.execution), "playbook": job.path}
    typer.echo(json.dumps(asked) if as_json else f"execution {job.execution}")
    return Exit.COMPLETED


def _check_known(catalog: KafkaCatalog, job: Job) -> None:
    found = catalog.lookup(job.path, job.version)
    if found is not None:
        from noetl_stream.dsl.documents import is_subscription

        if is_subscription(found.text, job.path):
            raise InvalidRequest(
                f"'{job.path}' is a subscription, which is not run itself; submit the playbook of its `dispatch`"
            )
    else:
        from noetl_stream.dsl.report import suggest

        hint = suggest(job.path, catalog.paths())
        version = f" version {job.version}" if job.version else ""
        raise InvalidRequest(
            f"no playbook '{job.path}'{version} is in the catalog; "
            + (hint or "register it with `noetl-stream register FILE`")
        )


async def _followed(installation: Installation, job: Job, *, timeout: float | None, as_json: bool) -> int:
    from noetl_stream.cli.log import show_end
    from noetl_stream.cli.progress import progress
    from noetl_stream.client.jobs import ask_and_follow

    log, reader, topics = installation.log, installation.reader, installation.topics
    with progress(quiet=as_json) as shown:
        story = await ask_and_follow(log, reader, topics, job, timeout=timeout, watch=shown.tell)
    return show_end(story, as_json=as_json)
