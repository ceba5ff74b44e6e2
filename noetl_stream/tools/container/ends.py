"""The six ends of a container, as a task's result or error; told by the watcher, or by whoever holds the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.container.runtime import ENDS

_WORDS: Final = ("job", "reason", "message")
_KINDS: Final = {
    "failed": ("client_error", False),
    "timed_out": ("timeout", True),
    "cancelled": ("cancelled", False),
    "evicted": ("server_error", True),
    "lost": ("server_error", True),
}
_SENTENCES: Final = {
    "timed_out": "ran longer than its `timeout` and was stopped; raise it",
    "cancelled": "was stopped, since nobody wants its result",
    "evicted": "lost its node, or its place there; try it again",
    "lost": "was deleted by somebody before it ended; try it again",
}


def checked(answer: Value) -> dict[str, Any]:
    """`{status, job, exit_code, reason, message, result}`, null where it is not said.

    Raises:
        ToolError: it is none of the six ends.
    """
    told = answer if isinstance(answer, Mapping) else {}
    if told.get("status") not in ENDS:
        raise ToolError(
            f"the container's callback tells no end; answer with a `status` that is one of {', '.join(ENDS)}",
            kind="validation",
            value=answer,
        )
    code = told.get("exit_code")
    return {
        "status": told["status"],
        **{word: None if told.get(word) is None else str(told[word]) for word in _WORDS},
        "exit_code": code if isinstance(code, int) else None,
        "result": told.get("result"),
    }


def raised(found: Mapping[str, Any]) -> ToolError:
    """The error of an end that is no success."""
    end = found["status"]
    kind, retryable = _KINDS[end]
    unpulled = end == "failed" and "Image" in (found["reason"] or "")
    return ToolError(
        f"the container {_SENTENCES.get(end) or _failed(found, unpulled=unpulled)}",
        kind=kind,
        retryable=retryable or unpulled,
        code=end,
        value=dict(found),
    )


def _failed(found: Mapping[str, Any], *, unpulled: bool) -> str:
    told = ": ".join(filter(None, (found["reason"], found["message"])))
    if unpulled:
        return f"could not start ({told}); correct `image`, or allow its pull"
    if found["exit_code"] is None:
        return f"failed ({told or 'nobody says why'}); see its `logs`"
    return f"ended with exit code {found['exit_code']}; see its `logs`"
