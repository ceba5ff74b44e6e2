"""Older spellings and today's, by the mapping that they stand in: what is normalised, deprecated in the schema, documented."""

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
"""`args` and `payload` only where they are mappings, `payload` not of `http`: there it is a body."""
ARC: Final[Mapping[str, str]] = {"cond": "when", "input": "args", "with": "args"}
RULE: Final[Mapping[str, str]] = {"cond": "when"}
RETRY: Final[Mapping[str, str]] = {"backoff_seconds": "delay", "attempts": "max_attempts"}
SPEC: Final[Mapping[str, str]] = {"timeout_seconds": "timeout"}

BACKOFF: Final[Mapping[str, str]] = {"none": "fixed"}
STORE: Final[Mapping[str, str]] = {"cache": "kv"}
KEYCHAIN: Final[Mapping[str, str]] = {"secrets": "secret_manager"}
