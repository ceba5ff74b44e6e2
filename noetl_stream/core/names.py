"""Which names a template sees, and which of two things with one name it gets. Shared by analysis and scopes.

A bare name is looked up in this order: the unshadowable names; the names of this pipeline's tasks and of their
`set`s; the iterator; a step that has a result; a key of ctx; a key of workload; the last names. A step without a
result shadows nothing.
"""

from __future__ import annotations

KEYCHAIN = "keychain"
"""Under this name a block's templates read its credentials."""
UNSHADOWABLE = (
    "workload",
    "ctx",
    "iter",
    "steps",
    "output",
    "event",
    KEYCHAIN,
    "execution_id",
    "job",
    "now",
    "token",
)
LAST = (
    "input",
    "result",
    "response",
    "error",
    "payload",
    "env",
    "spec",
    "loop_index",
    "callback_token",
    "path",
    "version",
    "__frame_max_rows",
    "__frame_max_bytes",
    "__frame_max_seconds",
    "__frame_lease_seconds",
    "__frame_heartbeat_seconds",
)
VARIABLES = ("ctx", "iter", "step")
"""Where a `set` writes with a scope, and where templates read it again; nothing shadows these either."""
DRAWN = frozenset({"now", "token"})
"""Names that are called: the only values of a scope that templates may call."""

ENVELOPE = frozenset(
    {
        "status",
        "data",
        "response",
        "error",
        "http",
        "ref",
        "meta",
        "attempts",
        "started_at",
        "finished_at",
        "duration_ms",
        "findings",
        "quarantined",
    }
)
"""The keys of an envelope; anything else looked up on one is answered by its data."""

EVENT_NAMES = {"call.done": "step.done", "call.error": "step.failed"}
"""Older spellings of event names and what they mean."""
