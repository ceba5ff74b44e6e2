"""`effects: exactly_once`: the key of a transfer and its result are written in the target's own transaction, with the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import orjson

from noetl_stream.tools.inbox import CLAIM, KEEP, LOOK, moment
from noetl_stream.tools.sql_text import numbered

Ask: TypeAlias = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""Run one statement, with values for `?`, in the target's transaction; its rows."""
Summary: TypeAlias = Callable[[], dict[str, Any]]


class Happened(Exception):
    """These rows have been moved before; `result` is what was said of it."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("the transfer has happened")
        self.result = result


def claim(key: str, ask: Ask) -> None:
    """Claim the effect. The inbox is there.

    Raises:
        Happened: it has happened. Who comes at the same moment as another waits for him here.
    """
    if not ask(f"{CLAIM} RETURNING effect_key", (key, moment())):
        raise Happened(orjson.loads(ask(LOOK, (key,))[0][0]))


def keep(key: str | None, ask: Ask, summary: Summary) -> None:
    """Store what is said of it, before the commit; `key` is None where nobody asked for that."""
    if key is not None:
        ask(KEEP, (orjson.dumps(summary()).decode(), key))


def marked(text: str) -> str:
    """With `$1` in place of `?`."""
    return numbered(text, marks=True).text
