"""What the language knows, checks and keeps, but nothing acts on yet: said to the author instead of ignored.

A feature that arrives takes its line out of these tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node

Keys: TypeAlias = tuple[str, ...]

ENFORCED_BY: Final[Mapping[Keys, str]] = {
    ("policy", "access"): "the gateway",
    ("policy", "audit"): "the gateway and the keychain",
    ("policy", "replay"): "the replay of outside effects",
    ("policy", "concurrency"): "limits that executions share",
    ("policy", "rate"): "limits that executions share",
    ("policy", "retention"): "the archive",
    ("policy", "schedule"): "the scheduler",
}
"""What will enforce a key that is read into the plan already."""
DOCUMENT: Final[tuple[Keys, ...]] = tuple(ENFORCED_BY)
STORAGE: Final[tuple[Keys, ...]] = (
    ("scope",),
    *(("store", key) for key in ("ttl", "driver", "bucket", "prefix")),
)
"""Of a `result` or `output` block. A deployment has one cache, and sweeps it by its own rules."""
STEP: Final[tuple[Keys, ...]] = (
    ("spec", "effects"),
    *(("result", *keys) for keys in STORAGE),
)
FRAME: Final[tuple[Keys, ...]] = tuple(
    (key,) for key in ("max_seconds", "max_bytes", "lease_seconds", "heartbeat_seconds", "max_attempts")
)
TASK: Final[tuple[Keys, ...]] = (
    ("spec", "effects"),
    *(("output", *keys) for keys in STORAGE),
)


def warn_pending(node: Node, table: Iterable[Keys], site: Site) -> None:
    """One warning for each block of `table` that the document has."""
    for keys in table:
        found = node.get(*keys)
        if found is not None and found.value not in ([], {}):
            until = _until(keys)
            site.report.warn(
                f"{site.subject}: `{'.'.join(keys)}` is kept, {until}",
                found.place,
                "do not rely on it",
            )


def _until(keys: Keys) -> str:
    by = ENFORCED_BY.get(keys)
    return (
        f"enforced with {by}, which this version does not have"
        if by
        else "but nothing acts on it yet in this version"
    )
