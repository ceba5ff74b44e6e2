"""Every error of ours, split by who must act. Each builds its own sentence and ends with the next step.

NoetlError
├── PlaybookError          the playbook's author       (exit 2)
│   ├── InvalidPlaybook        every problem, each with its place
│   └── ExpressionError        a template failed while it ran
├── InvalidRequest         whoever asked                (exit 2)
├── ExecutionFailed        what was asked for did not complete
├── ToolError              the outside world            (retryable, retry_after)
├── HistoryError           history against code
│   ├── IllegalTransition      a decision of ours without an arrow
│   ├── UnknownSchema          a record whose writer schema nobody registered
│   └── UndecodableRecord      bytes that are no record
├── AccessRefused          who may not
└── InfrastructureError    whoever runs the platform    (exit 3)
    ├── AppendUnknown          a record that may or may not stand in the log
    └── DamagedResult          the cache's bytes are not the ones written
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class NoetlError(Exception):
    """The root: catching it catches all of ours and nothing else."""


class PlaybookError(NoetlError):
    """The playbook's author must act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding in a document. `line` and `column` count from 1."""

    message: str
    file: str
    line: int
    column: int
    severity: Literal["error", "warning"] = "error"
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f"; {self.suggestion}" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}{hint}"


class InvalidPlaybook(PlaybookError):
    """A document that cannot run. Nothing was started; `problems` lists all errors, `warnings` what else was found."""

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        self.problems, self.warnings = problems, warnings
        super().__init__("\n".join(map(str, problems)))


class ExpressionError(PlaybookError):
    """A template failed while it ran. Names its text and its place, never the values it read."""

    def __init__(self, reason: str, *, text: str, place: str) -> None:
        self.reason, self.text, self.place = reason, text, place
        super().__init__(f"{place}: {reason} in `{text}`")


class InvalidRequest(NoetlError):
    """Whoever asked must ask differently."""


class ExecutionFailed(NoetlError):
    """An execution ended otherwise than COMPLETED. `kind` and `reason` are of the error that ended it, if one did."""

    def __init__(self, execution: int, status: str, *, kind: str | None, reason: str | None) -> None:
        self.execution, self.status, self.kind, self.reason = execution, status, kind, reason
        why = "" if reason is None else f": {reason}"
        super().__init__(f"execution {execution} ended {status}{why}; see `noetl-stream events {execution}`")


class ToolError(NoetlError):
    """A tool met the outside world and lost. `kind` is one of dsl's error kinds, shown as `error.kind`.

    `retry_after` is in seconds, as the outside asked for it. `trace` is a traceback, capped by whoever records it.
    `value` is what the tool returned all the same (the body of an http 404). `line` is the line of the task's code, from 1.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        retryable: bool = False,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        trace: str | None = None,
        value: object = None,
        line: int | None = None,
    ) -> None:
        self.value, self.line = value, line
        self.message, self.kind, self.retryable = message, kind, retryable
        self.status, self.code, self.retry_after, self.trace = status, code, retry_after, trace
        super().__init__(message)


class HistoryError(NoetlError):
    """What the log says and what the code can do disagree."""


class IllegalTransition(HistoryError):
    """A decision of our own has no arrow in the transition table: a fault of the program."""

    def __init__(self, event: str, status: str, subject: str) -> None:
        super().__init__(
            f"{event} has no arrow from '{status}' for {subject}; report this with the execution's events"
        )


class UnknownSchema(HistoryError):
    """A record's fingerprint is registered nowhere that we have read."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(
            f"no schema with fingerprint {fingerprint} is registered; upgrade this process or register it"
        )


class UndecodableRecord(HistoryError):
    """Bytes that are no record of ours, or not one that belongs where they stand."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"unreadable record: {reason}; look at its bytes among the dead letters")


class AccessRefused(NoetlError):
    """The asker may not."""


class InfrastructureError(NoetlError):
    """Whoever runs the platform must act: a broker, a disk, a store."""


class AppendUnknown(InfrastructureError):
    """An append whose fate is unknown: repeat it byte for byte, or read it back; never decide anew."""


class DamagedResult(InfrastructureError):
    """A stored result is not what was written; asking again brings the same."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; delete it from the cache and run its step again")
