"""`retry`, and `cancel --step`: one iteration of a live execution runs again, or stops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from noetl_stream.cli.ending import Exit, carry_out
from noetl_stream.cli.log import Id
from noetl_stream.cli.options import Bootstrap, Data, Debug, Json, settings_of
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.core.address import Address
    from noetl_stream.core.events import BlockWish
    from noetl_stream.core.execution import Execution
    from noetl_stream.settings import Settings

OneStep = Annotated[
    str, typer.Option("--step", metavar="ADDRESS", help="What runs again: STEP, STEP[17] or STEP#2[17].")
]
Force = Annotated[bool, typer.Option("--force", help="Run it again although it succeeded.")]

ASKED = 3
"""How often a wish is made anew if the execution moved on while it was on its way."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(retry)


def retry(
    ctx: typer.Context,
    execution: Id,
    step: OneStep,
    force: Force = False,
    bootstrap: Bootstrap = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run one iteration of a live execution again, as its next attempt: one that failed, or that runs, waits or is stuck.

    Its earlier failure counts no more. What is over already can be forked.
    Examples: `noetl-stream retry 3155905906115324390 --step 'load[17]'` · `noetl-stream retry 3155905906115324390 --step 'load[17]' --force`
    """
    settings = settings_of(ctx, bootstrap=bootstrap, data=data)
    raise typer.Exit(carry_out(_retry(settings, execution, step, force=force, as_json=as_json)))


async def _retry(settings: Settings, execution: int, step: str, *, force: bool, as_json: bool) -> int:
    from noetl_stream.client.installation import ACTOR
    from noetl_stream.core.events import BlockRetryRequested
    from noetl_stream.core.located import repeatable

    def wish(state: Execution, address: Address) -> BlockWish:
        block, attempt = repeatable(state, address, force=force)
        return BlockRetryRequested(block=block, attempt=attempt, time=time.time(), force=force, actor=ACTOR)

    asked = await _ask(settings, execution, step, wish)
    return _say(
        "retry",
        execution,
        step,
        asked,
        f"'{step}' runs again, as attempt {asked.attempt + 1}",
        as_json=as_json,
    )


async def cancel_one(settings: Settings, execution: int, step: str, reason: str, *, as_json: bool) -> int:
    """Ask for one iteration to stop."""
    from noetl_stream.client.installation import ACTOR
    from noetl_stream.core.events import BlockCancelRequested
    from noetl_stream.core.located import stoppable

    def wish(state: Execution, address: Address) -> BlockWish:
        block, attempt = stoppable(state, address)
        return BlockCancelRequested(
            block=block, attempt=attempt, time=time.time(), reason=reason, actor=ACTOR
        )

    asked = await _ask(settings, execution, step, wish)
    return _say("cancel", execution, step, asked, f"'{step}' is cancelled", as_json=as_json)


def _say(what: str, execution: int, step: str, asked: BlockWish, text: str, *, as_json: bool) -> int:
    told = {"execution_id": str(execution), what: step, "block": str(asked.block), "attempt": asked.attempt}
    typer.echo(json.dumps(told, ensure_ascii=False) if as_json else text)
    return Exit.COMPLETED


async def _ask(
    settings: Settings, execution: int, step: str, wish: Callable[[Execution, Address], BlockWish]
) -> BlockWish:
    """The wish that the log accepted. Raises InvalidRequest with the reason why there is nothing to wish."""
    from noetl_stream.cli.reading import opened
    from noetl_stream.core.address import parse

    async with opened(settings) as installation:
        for _ in range(ASKED):
            state = await installation.state(execution)
            asked = wish(state, parse(step, state.epochs))
            if await installation.report(execution, asked) == "accepted":
                return asked
    raise InvalidRequest(f"'{step}' went on each time while it was asked for; ask again")
