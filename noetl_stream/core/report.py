"""The story of an execution, told from accepted records alone: what a run did, in the shape documented in docs/report.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from noetl_stream.core.events import (
    BlockLost,
    BlockOffered,
    ChildRequested,
    Event,
    ExecutionEnded,
    ExecutionRequested,
    ExecutionStarted,
    FailureMet,
    Fork,
    LoopClosed,
    Move,
    StepEntered,
    StepFinished,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.partition import Folded
from noetl_stream.core.run import Finished
from noetl_stream.core.values import Error, Ref, Value


@dataclass(slots=True)
class StepStory:
    """A step over all its epochs."""

    status: str = "running"
    attempts: int = 0
    iterations: int = 0
    epochs: int = 0
    findings: Value = None

    def as_json(self) -> dict[str, Value]:
        found = {} if self.findings is None else {"findings": _named(self.findings)}
        return {
            "status": self.status,
            "attempts": self.attempts,
            "iterations": self.iterations,
            "epochs": self.epochs,
            **found,
        }


def _named(findings: Mapping[str, Value]) -> dict[str, Value]:
    """Findings with the rows that were set aside by their reference's name."""
    return {name: each.uri if isinstance(each, Ref) else each for name, each in findings.items()}


@dataclass(slots=True)
class Story:
    """Feed it every accepted record of one execution, in log order."""

    started_at: float | None = None
    finished_at: float | None = None
    path: list[str] = field(default_factory=list)
    steps: dict[str, StepStory] = field(default_factory=dict)
    events: int = 0
    machine: Execution | None = None
    end: ExecutionEnded | None = None

    def tell(self, event: Event, folded: Folded, at: float) -> None:
        """Take in a record; `at` is its time in seconds. What the fold did not accept is no part of the story."""
        if folded.verdict != "accepted":
            return
        self.machine = folded.machine
        self.events += len(folded.moves) or 1
        if isinstance(event, ExecutionRequested):
            self.started_at = event.time
            self._begin(folded.machine)
        for move in folded.moves:
            self._move(move, at)

    def _begin(self, machine: Execution | None) -> None:
        """A fork has a past: its steps so far, in the order of their latest entry. One that was given up never finished."""
        if machine is None or machine.request.fork is None:
            return
        self.path = sorted(machine.entered, key=machine.entered.__getitem__)
        for name in self.path:
            epoch, ended = machine.epochs[name], machine.finished.get(name)
            story = self.steps[name] = StepStory(epochs=epoch + 1)
            if ended is not None and ended.epoch == epoch:
                self._count(story, ended)

    def _move(self, move: Move, at: float) -> None:
        match move:
            case StepEntered():
                self.path.append(move.step)
                story = self.steps.setdefault(move.step, StepStory())
                story.epochs, story.status = story.epochs + 1, "running"
            case StepFinished():
                self._finished(move)
            case ExecutionEnded():
                self.end, self.finished_at = move, at
            case (
                ExecutionStarted()
                | LoopClosed()
                | BlockOffered()
                | BlockLost()
                | ChildRequested()
                | FailureMet()
            ):
                pass
            case _:
                assert_never(move)

    def _finished(self, move: StepFinished) -> None:
        assert self.machine is not None  # whose move it is
        self._count(self.steps[move.step], self.machine.finished[move.step])

    @staticmethod
    def _count(story: StepStory, ended: Finished) -> None:
        story.status = ended.status
        story.attempts += ended.tries
        story.iterations += ended.iterations
        story.findings = ended.findings

    @property
    def status(self) -> str:
        return "RUNNING" if self.end is None else self.end.status

    def as_json(self, results: Mapping[str, Value]) -> dict[str, Value]:
        """The report. `results` are the execution's, references resolved by the caller."""
        assert self.machine is not None  # a story begins with its request
        request = self.machine.request
        return {
            "execution_id": str(self.machine.id),
            "playbook": request.path,
            "version": request.version,
            "forked_from": _source(request.fork),
            "status": self.status,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "error": None if self.end is None else error_json(self.end.error),
            "path": self.path,
            "steps": {name: story.as_json() for name, story in self.steps.items()},
            "results": dict(results),
            "ctx": dict(self.machine.ctx),
            "events": self.events,
        }


def _source(fork: Fork | None) -> dict[str, Value] | None:
    if fork is None:
        return None
    return {"execution_id": str(fork.execution), "address": fork.address, "offset": fork.offset}


def error_json(error: Error | None) -> dict[str, Value] | None:
    return None if error is None else {"step": error.step, "kind": error.kind, "message": error.message}
