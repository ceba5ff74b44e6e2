"""What the language knows, checks and keeps, but nothing acts on yet: said to the author instead of ignored.

A feature that arrives takes its line out of these tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node

Keys: TypeAlias = tuple[str, ...]

DOCUMENT: Final[tuple[Keys, ...]] = (
    ("keychain",),
    *(
        ("policy", key)
        for key in (
            "access",
            "audit",
            "replay",
            "schema",
            "concurrency",
            "rate",
            "retention",
            "schedule",
            "network",
        )
    ),
)
STEP: Final[tuple[Keys, ...]] = (
    ("result",),
    ("expect",),
    ("spec", "effects"),
)
FRAME: Final[tuple[Keys, ...]] = tuple(
    (key,) for key in ("max_seconds", "max_bytes", "lease_seconds", "heartbeat_seconds", "max_attempts")
)
TASK: Final[tuple[Keys, ...]] = (
    ("auth",),
    ("output",),
    ("output_select",),
    ("assert", "returns"),
    ("spec", "effects"),
)


def warn_pending(node: Node, table: Iterable[Keys], site: Site) -> None:
    """One warning for each block of `table` that the document has."""
    for keys in table:
        found = node.get(*keys)
        if found is not None:
            site.report.warn(
                f"{site.subject}: `{'.'.join(keys)}` is kept, but nothing acts on it yet in this version",
                found.place,
                "do not rely on it",
            )
