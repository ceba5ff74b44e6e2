"""What the names and filters of templates mean, and what each tool's result looks like, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final[Mapping[str, str]] = {
    "workload": "The execution's inputs.",
    "ctx": "Variables of the execution, as `set: {ctx.x: …}` writes them.",
    "iter": "The loop's item and the iteration's variables: `iter.index`, `iter.total`, `iter.<iterator>`.",
    "step": "Variables of this run of the step.",
    "steps": "Envelopes of steps: `steps.<step>.status`, `.attempts`, `.error`, `.ref`.",
    "output": "The envelope: `status`, `data`, `error`, `http`, `ref`, `meta`. In a task's own `set` the result itself.",
    "event": "What happened: `event.name` is `step.done`, `step.failed` or `loop.done`.",
    "keychain": "Credentials; known on the worker only, while the block runs.",
    "execution_id": "The execution's id, as decimal text.",
    "job": "The execution: `job.uuid`, `job.execution_id`.",
    "now": "The time of the decision: `now()`; recorded, so that a replay sees the same.",
    "token": "A random token: `token()`; recorded, so that a replay sees the same.",
    "input": "The step's bound inputs.",
    "result": "In rules, `set` and arcs: this task's or step's result. In `input` and config: that of the step before.",
    "response": "The same as `result`.",
    "error": "The error that led here: `kind`, `message`, `retryable`, `status`; undefined if there is none.",
    "payload": "The request's payload.",
    "env": "Environment variables that the deployment lets through.",
    "spec": "The document's `spec`.",
    "loop_index": "The iteration's number, from 0.",
    "callback_token": "Answers this block, should it ask: for `notify` of `callback` and `approve`.",
    "path": "The playbook's path.",
    "version": "The playbook's version.",
    "__frame_max_rows": "How many rows a cursor's claim may lease.",
    "__frame_max_bytes": "How many bytes of JSON one of its frames may hold.",
    "__frame_max_seconds": "How long a cursor's claim may take.",
    "__frame_lease_seconds": "How long what a cursor claims should be its own.",
    "__frame_heartbeat_seconds": "How often that is renewed.",
}
FILTERS: Final[Mapping[str, str]] = {
    "tojson": "Plain JSON text, dates and decimals included.",
    "fromjson": "The value that JSON text says.",
    "b64encode": "Text in Base64.",
    "b64decode": "Text from Base64.",
    "get": "A key's value, or a default: `x | get('key', default)`.",
    "keys": "A mapping's keys.",
    "values": "A mapping's values.",
    "items": "A mapping's pairs.",
    "sha256": "The SHA-256 of its text, in hex.",
    "todatetime": "A time from ISO text, a date, or seconds.",
    "regex_search": "The first match of a pattern.",
    "regex_replace": "The text with every match replaced.",
    "regex_findall": "All matches of a pattern.",
    "regex_match": "The match at the beginning.",
}
_ROWS: Final = ("rows", "columns", "row_count")
RESULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "http": ("status_code", "headers", "url", "elapsed", "data", "body"),
    **dict.fromkeys(("duckdb", "ducklake", "sqlite", "postgres", "adbc", "snowflake"), (*_ROWS, "command_0")),
    "subscription": ("status", "source", "count", "messages", "acked"),
    "loop": ("results", "data", "stats", "count", "status"),
    "pipeline": ("results",),
}
"""Keys of a result, where the kind tells them."""
SHAPES: Final[Mapping[str, str]] = {
    "python": "the object that the code returns",
    "polars": "a table",
    "http": "`{status_code, headers, url, elapsed, data, body}`",
    **dict.fromkeys(
        ("duckdb", "ducklake", "sqlite", "postgres", "adbc", "snowflake"),
        "`{rows, columns, row_count}` of the last result set, `command_0 …` for each statement",
    ),
    "playbook": "the child's result",
    "noop": "its constant",
    "artifact": "the result that the reference names",
    "wasm": "the JSON value that the module yields",
    "loop": "`{results, data, stats: {total, success, failed}, count, status}`",
}
