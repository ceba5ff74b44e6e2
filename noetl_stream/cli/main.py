"""The command line. Nothing heavy is imported to parse it: each command loads what it needs when it runs."""

from __future__ import annotations

import typer

from noetl_stream.cli import check, log, register, roles, run
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


@app.callback()
def everywhere(
    ctx: typer.Context, bootstrap: Bootstrap = None, data: Data = None, debug: Debug = False
) -> None:
    """Playbooks in, an event log you can replay out: NoETL's execution model on Kafka, Faust and Arrow.

    Exit codes: 0 completed, 1 the execution failed or was cancelled, 2 invalid input, 3 infrastructure.
    Every setting can also be given as `NOETL_STREAM_<NAME>`.
    """
    ctx.obj = Chosen(bootstrap=bootstrap, data=data)


for commands in (run, check, register, log, roles):
    commands.add_to(app)


def main() -> None:
    """The entry point of `noetl-stream`."""
    app()
