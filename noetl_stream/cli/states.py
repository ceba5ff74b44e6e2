"""A folded state as it is shown: the steps, what runs and waits, the variables and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from noetl_stream.cli.documented import iso, plain
from noetl_stream.core.execution import Execution
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from rich.console import Console


def full(state: Execution) -> dict[str, Value]:
    """The whole state as JSON, with the parts that are derived for readers beside it."""
    return {
        "execution_id": str(state.id),
        "playbook": state.request.path,
        "version": state.request.version,
        "status": _status(state),
        "steps": steps(state),
        "ctx": plain(state.ctx),
        "results": plain(state.results),
        "blocks": blocks(state),
        "waiting": waiting(state),
        "state_hash": state_hash(state),
        "state": plain(state),
    }


def steps(state: Execution) -> dict[str, dict[str, Value]]:
    """Each step entered so far, in the order of its latest entry."""
    return {name: _step(state, name) for name in sorted(state.entered, key=lambda name: state.entered[name])}


def _step(state: Execution, name: str) -> dict[str, Value]:
    run = state.runs.get(name)
    if run is not None:
        return {
            "status": "running",
            "epochs": run.epoch + 1,
            "iterations": run.ended,
            "total": run.total,
            "entered_at": iso(run.entered_at),
            "ended_at": None,
        }
    done = state.finished[name]
    return {
        "status": done.status,
        "epochs": done.epoch + 1,
        "iterations": done.iterations,
        "total": done.iterations,
        "entered_at": iso(done.entered_at),
        "ended_at": iso(done.ended_at),
    }


def blocks(state: Execution) -> dict[str, dict[str, Value]]:
    """The blocks in flight; `due` is when a timer of theirs fires."""
    return {
        str(key): {
            "status": block.status,
            "attempt": block.attempt,
            "segment": block.segment,
            "due": iso(block.due),
        }
        for key, block in state.blocks.items()
    }


def waiting(state: Execution) -> dict[str, list[str | None]]:
    """Steps that tokens wait to enter, with the steps that sent them."""
    return {step: [token.via for token in tokens] for step, tokens in state.tokens.items()}


def show(state: Execution) -> None:
    """The state on stdout, for people."""
    from rich.markup import escape

    from noetl_stream.cli.shown import console, show_results, show_steps

    out = console()
    out.print(
        f"[bold]{escape(state.request.path)}[/] version {state.request.version}  {_status(state)}  execution {state.id}",
        soft_wrap=True,
    )
    show_steps(out, steps(state))
    _list(out, "blocks in flight", {name: block["status"] for name, block in blocks(state).items()})
    tokens = {step: ", ".join(via or "the request" for via in sent) for step, sent in waiting(state).items()}
    _list(out, "waiting to be entered", tokens)
    if state.ctx:
        show_results(out, {"ctx": plain(state.ctx)})
    show_results(out, plain(state.results))


def _list(out: Console, title: str, entries: Mapping[str, Value]) -> None:
    for name, text in entries.items():
        out.print(f"{title}: {name} ({text})", markup=False, soft_wrap=True)


def _status(state: Execution) -> str:
    return state.ended.status if state.ended else "RUNNING"
