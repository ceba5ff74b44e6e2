"""The older spellings that the language accepts, by the mapping they stand in; the schema shows them as deprecated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STEP: Final[Mapping[str, str]] = {"args": "input", "output": "result"}
TASK: Final[Mapping[str, str]] = {
    "args": "input",
    "payload": "input",
    "credential": "auth",
    "timeout_seconds": "timeout",
}
"""A tool whose own key has one of these names keeps it."""
ARC: Final[Mapping[str, str]] = {"cond": "when", "input": "args", "with": "args"}
RULE: Final[Mapping[str, str]] = {"cond": "when"}
RETRY: Final[Mapping[str, str]] = {"backoff_seconds": "delay", "attempts": "max_attempts"}
SPEC: Final[Mapping[str, str]] = {"timeout_seconds": "timeout"}
BACKOFF: Final[Mapping[str, str]] = {"none": "fixed"}
STORE: Final[Mapping[str, str]] = {"cache": "kv"}
