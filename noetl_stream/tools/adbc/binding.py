"""A task's SQL as its driver takes it: each statement in the driver's spelling, with its values in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.sql import dealt
from noetl_stream.tools.sql_text import first_word, has_word, marked, numbered, statements

Bound: TypeAlias = tuple[str, list[Any]]
_OWN: Final = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_CHANGING: Final = frozenset(
    {
        "ALTER", "ANALYZE", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "MERGE", "REPLACE", "REVOKE", "SET", "TRUNCATE",
        "UPDATE", "UPSERT", "USE", "VACUUM",
    }
)  # fmt: skip


def bound_statements(text: str, params: Mapping[str, Value] | Sequence[Value], places: str) -> list[Bound]:
    """Every statement in the driver's spelling, with its values in order. Without `params` none has a place.

    Raises:
        ToolError: there is none, one begins or ends a transaction, or the params do not fit.
    """
    found = [_ended(each.text) for each in statements(text)]
    _check_transactions(found)
    if not found or not params:
        dealt([], [() for _ in found])
        return [(each, []) for each in found]
    marks = not isinstance(params, Mapping)
    spelled = [numbered(each, marks=marks) if places == "$" or marks else marked(each) for each in found]
    values = dealt(params, [dict.fromkeys(each.places) for each in spelled])
    texts = found if marks and places == "?" else [each.text for each in spelled]
    return [
        (each, [_bindable(value) for value in _in_order(given, one.places)])
        for each, one, given in zip(texts, spelled, values, strict=True)
    ]


def _ended(statement: str) -> str:
    """A driver may write on behind it, where a line comment must not swallow that."""
    return f"{statement}\n" if "--" in statement.rpartition("\n")[2] else statement


def _in_order(given: Any, places: Sequence[str]) -> list[Any]:
    return [given[place] for place in places] if isinstance(given, dict) else list(given or ())


def _check_transactions(texts: Sequence[str]) -> None:
    for number, text in enumerate(texts):
        if (word := first_word(text)) in _OWN:
            raise ToolError(
                f"command_{number}: {word} has no place here, the driver keeps the transaction; say `transaction: true`",
                kind="validation",
            )


def _bindable(value: Value) -> Any:
    """A mapping or a list as JSON; all else as the Arrow type it has."""
    return orjson.dumps(value, default=str).decode() if isinstance(value, dict | list) else value


def brings_rows(statement: str) -> bool:
    """Whether a statement has a result set, as far as its words tell."""
    return first_word(statement) not in _CHANGING or has_word(statement, "RETURNING")
