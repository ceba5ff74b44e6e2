"""What a run looks like while it runs: a live table on a terminal, plain lines elsewhere. Both go to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import typer

from noetl_stream.core.events import ExecutionEnded, StepEntered, StepFinished
from noetl_stream.core.execution import Execution
from noetl_stream.replay.telling import Told

if TYPE_CHECKING:
    from rich.table import Table

_EVERY = 0.1
"""Seconds between two looks at a running loop's counters."""
_LINE_EVERY = 5.0
"""Seconds between two lines about a running loop."""


class Progress(Protocol):
    """Told every record of the execution, in log order."""

    def tell(self, told: Told) -> None: ...


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Shows what is told until the block ends."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with _live() as shown:
            yield shown
    else:
        yield Lines()


class Silent:
    def tell(self, told: Told) -> None:
        """Says nothing."""


class Lines:
    """One line for each step that begins or ends, and one now and then for a loop."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def tell(self, told: Told) -> None:
        for move in told.folded.moves:
            match move:
                case StepEntered(total=int() as total, loop=True):
                    self._say(f"{move.step}: running, {total} iterations")
                case StepEntered():
                    self._say(f"{move.step}: running")
                case StepFinished():
                    self._say(f"{move.step}: {move.status}{_took(told.folded.machine, move.step)}")
                case _:
                    continue
        if told.folded.machine is not None and time.monotonic() - self._said > _LINE_EVERY:
            for row in _rows(told.folded.machine):
                if row.state == "running" and row.counter:
                    self._say(f"{row.step}: {row.counter}")

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        typer.echo(line, err=True)


def _took(machine: Execution | None, step: str) -> str:
    ended = machine.finished.get(step) if machine else None
    return f" in {ended.ended_at - ended.entered_at:.2f} s" if ended else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step as it stands. Times are in seconds since the epoch; `ended` is None while it runs."""

    step: str
    state: str
    counter: str
    entered: float
    ended: float | None


def _rows(machine: Execution) -> list[Row]:
    return [_row(machine, step) for step in machine.entered]


def _row(machine: Execution, step: str) -> Row:
    run = machine.runs.get(step)
    if run is not None:
        counter = f"{run.ended}/{'?' if run.total is None else run.total}" if run.loop else ""
        return Row(step=step, state="running", counter=counter, entered=run.entered_at, ended=None)
    done = machine.finished[step]
    counter = f"{done.iterations}/{done.iterations}" if done.iterations > 1 else ""
    return Row(step=step, state=done.status, counter=counter, entered=done.entered_at, ended=done.ended_at)


_STYLES = {"running": "cyan", "done": "green", "failed": "red", "skipped": "dim"}


class Live:
    """A table of steps. Told at every record, drawn a few times a second by a thread of its own."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._status, self._began, self._looked = "requested", time.time(), 0.0
        self._ended: float | None = None

    def tell(self, told: Told) -> None:
        machine, moves = told.folded.machine, told.folded.moves
        if machine is None or (not moves and time.monotonic() - self._looked < _EVERY):
            return
        self._looked = time.monotonic()
        self._rows, self._status = _rows(machine), machine.status
        if any(isinstance(move, ExecutionEnded) for move in moves):
            self._ended = told.at

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        now = time.time()
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for row in self._rows:
            style = _STYLES[row.state]
            took = max(0.0, (row.ended or now) - row.entered)
            table.add_row(Text(row.step), f"[{style}]{row.state}[/]", row.counter, f"{took:.1f} s")
        took = max(0.0, (self._ended or now) - self._began)
        table.add_row("[dim]total[/]", "", "", f"[dim]{took:.1f} s[/]")
        return table


@contextmanager
def _live() -> Iterator[Live]:
    from rich.console import Console
    from rich.live import Live as Screen

    shown = Live()
    with Screen(shown, console=Console(stderr=True), refresh_per_second=8):
        yield shown
