"""`effects: exactly_once` on databases: the effect's key and its result are written in the transaction of the effect itself.

Whoever comes again with the key is given the stored result, and runs nothing. One who comes at the same moment waits for
the first at the key, which is unique.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import orjson
import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.sql import Statement
from noetl_stream.tools.sql_config import IN_MEMORY
from noetl_stream.tools.sql_text import first_word

CREATE: Final = "CREATE TABLE IF NOT EXISTS noetl_inbox (effect_key TEXT PRIMARY KEY, result TEXT NOT NULL, happened_at TEXT NOT NULL)"
CLAIM: Final = (
    "INSERT INTO noetl_inbox (effect_key, result, happened_at) VALUES (?, '', ?) ON CONFLICT DO NOTHING"
)
"""Of the key and the moment: one row if the effect is ours to cause, none if it has happened."""
KEEP: Final = "UPDATE noetl_inbox SET result = ? WHERE effect_key = ?"
LOOK: Final = "SELECT result FROM noetl_inbox WHERE effect_key = ?"

MOST_BYTES: Final = 16 * 1024**2
_OWN: Final = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"})


def moment() -> str:
    """Now, as `happened_at` has it: text that sorts, for whoever clears old keys."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_whole(texts: Iterable[str]) -> None:
    """The statements leave their transaction to the task.

    Raises:
        ToolError: one begins or ends a transaction of its own.
    """
    for number, text in enumerate(texts):
        if (word := first_word(text)) in _OWN:
            raise ToolError(
                f"command_{number}: {word} has no place in a task that runs `exactly_once`, which is one transaction; remove it",
                kind="validation",
            )


def check_kept(database: str) -> None:
    """The database outlives the task.

    Raises:
        ToolError: it does not.
    """
    if database == IN_MEMORY:
        raise ToolError(
            "a database in memory is gone with its task, so that nothing in it happens `exactly_once`; name a file as `database`",
            kind="validation",
        )


def packed(done: Sequence[Statement]) -> str:
    """What the statements did, as it is stored.

    Raises:
        ToolError: it is too large to be stored with its effect.
    """
    text = orjson.dumps([_packed(each) for each in done]).decode()
    if len(text) > MOST_BYTES:
        raise ToolError(
            f"the result of an `exactly_once` task is stored with its effect and may take {MOST_BYTES:,} bytes; "
            "select less, or in a task of its own",
            kind="sql",
            code="too_large",
        )
    return text


def unpacked(text: str) -> list[Statement]:
    """The same again."""
    return [
        Statement(table=_table(each["table"])) if "table" in each else Statement(affected=each["affected"])
        for each in orjson.loads(text)
    ]


def _packed(done: Statement) -> dict[str, int | str]:
    if done.table is None:
        return {"affected": done.affected}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, done.table.schema) as writer:
        writer.write_table(done.table)
    return {"table": base64.b64encode(sink.getvalue()).decode()}


def _table(text: str) -> pa.Table:
    with pa.ipc.open_stream(base64.b64decode(text)) as reader:
        return reader.read_all()
