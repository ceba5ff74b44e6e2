"""How a command ends: one sentence on stderr and an exit code for each of our errors, in order on every signal."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from noetl_stream.errors import AccessRefused, InvalidRequest, NoetlError, PlaybookError

DEBUG = "noetl_stream.debug"
_SIGNALLED = 128
_PARTING_SECONDS = 2.0


class Exit(IntEnum):
    """What the shell is told."""

    COMPLETED = 0
    FAILED = 1
    INVALID = 2
    INFRASTRUCTURE = 3
    INTERRUPTED = _SIGNALLED + signal.SIGINT


class Commands(TyperGroup):
    """All commands, with one boundary for our own errors. A fault of the program still shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NoetlError as error:
            if ctx.meta.get(DEBUG):
                traceback.print_exception(error)
            else:
                typer.echo(str(error), err=True)
            raise typer.Exit(_code_of(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None


def _code_of(error: NoetlError) -> Exit:
    return (
        Exit.INVALID
        if isinstance(error, PlaybookError | InvalidRequest | AccessRefused)
        else Exit.INFRASTRUCTURE
    )


def carry_out(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end and return the exit code. SIGINT and SIGTERM cancel the work, which then ends in order.

    Whoever ends a role sends it a signal, so a role that was told to end returns its own code: see `until_signalled`.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_signalled(work))
    finally:
        if loop.run_until_complete(_all_ended()):
            loop.close()


async def _all_ended() -> bool:
    """Whether the tasks that are left heed a cancel. One whose broker is gone may not, and the process ends without it."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    _, stubborn = await asyncio.wait(left, timeout=_PARTING_SECONDS) if left else (left, left)
    return not stubborn


async def _signalled(work: Coroutine[Any, Any, int]) -> int:
    task, caught = asyncio.ensure_future(work), list[int]()

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return _SIGNALLED + caught[0]


def ended_role(code: int) -> int:
    """SIGTERM is how a role is meant to end."""
    return Exit.COMPLETED if code == _SIGNALLED + signal.SIGTERM else code
