"""The command line. Nothing heavy is imported to parse it: each command loads what it needs when it runs."""

from __future__ import annotations

import gc
import logging
import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from noetl_stream.cli import (
    answering,
    broker,
    cache,
    check,
    editing,
    exposed,
    forks,
    iterations,
    keychain,
    letters,
    log,
    register,
    roles,
    run,
    tools,
)
from noetl_stream.cli.ending import Commands
from noetl_stream.cli.options import Bootstrap, Chosen, Data, Debug

app = typer.Typer(
    name="noetl-stream",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"noetl-stream {version('noetl-stream')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
]


@app.callback()
def everywhere(
    ctx: typer.Context,
    bootstrap: Bootstrap = None,
    data: Data = None,
    debug: Debug = False,
    version: Version = False,
) -> None:
    """Playbooks in, an event log you can replay out: NoETL's execution model on Kafka, Faust and Arrow.

    Exit codes: 0 completed, 1 the execution failed or was cancelled, 2 invalid input, 3 infrastructure.
    Every setting can also be given as `NOETL_STREAM_<NAME>`.
    """
    ctx.obj = Chosen(bootstrap=bootstrap, data=data)


for commands in (
    run,
    check,
    editing,
    tools,
    exposed,
    register,
    log,
    iterations,
    answering,
    forks,
    roles,
    letters,
    cache,
    keychain,
    broker,
):
    commands.add_to(app)


def main() -> NoReturn:
    """The entry point of `noetl-stream`.

    At its end all is closed, and taking the interpreter apart would take a third of a second: the process just ends.
    """
    # Imports make much and drop little: collecting every 700 objects among them is a tenth of a cold start.
    gc.set_threshold(50_000, 20, 50)
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    logging.shutdown()
    with suppress(BrokenPipeError):  # whoever read the output has seen enough
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)
