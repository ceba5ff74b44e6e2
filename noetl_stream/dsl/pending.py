"""What the language knows, checks and keeps, but nothing acts on yet: said to the author instead of ignored.

A feature that arrives takes its line out of these tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node

Keys: TypeAlias = tuple[str, ...]

TODAY: Final[Mapping[Keys, str]] = {
    ("policy", "access", "roles"): "any role may ask until there is a gateway",
    ("policy", "audit", "retain"): "the log keeps everything until there is an archive",
    ("policy", "audit", "encrypt"): "nothing is encrypted until fields have keys of their own",
    ("policy", "concurrency"): "nothing is limited until executions share limits",
    ("policy", "rate"): "nothing is limited until executions share limits",
    ("policy", "retention", "events"): "the log keeps everything until there is an archive",
    ("policy", "schedule"): "nothing starts by itself until there is a scheduler",
}
"""Keys that are read into the plan already, and what happens until something enforces them."""
DOCUMENT: Final[tuple[Keys, ...]] = tuple(TODAY)
STORAGE: Final[tuple[Keys, ...]] = (("store", "driver"),)
"""Of a `result` or `output` block. A deployment has one cache, and its own driver for it."""
STEP: Final[tuple[Keys, ...]] = tuple(("result", *keys) for keys in STORAGE)
TASK: Final[tuple[Keys, ...]] = tuple(("output", *keys) for keys in STORAGE)


def warn_pending(node: Node, table: Iterable[Keys], site: Site) -> None:
    """One warning for each block of `table` that the document has."""
    for keys in table:
        found = node.get(*keys)
        if found is not None and found.value not in ([], {}):
            until = TODAY.get(keys, "nothing acts on it yet in this version")
            site.report.warn(
                f"{site.subject}: `{'.'.join(keys)}` is kept, but {until}", found.place, "do not rely on it"
            )
