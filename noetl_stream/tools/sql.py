"""What the SQL kinds share: how parameters are dealt out to statements, and the shape of the result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one statement did: a result set, even an empty one, or a number of affected rows."""

    table: pa.Table | None = None
    affected: int = 0

    def shape(self) -> dict[str, Any]:
        """`{rows, columns, row_count}`."""
        if self.table is None:
            return {"rows": [], "columns": [], "row_count": self.affected}
        return {"rows": self.table, "columns": self.table.column_names, "row_count": self.table.num_rows}


def sql_result(statements: Sequence[Statement]) -> dict[str, Any]:
    """`command_0 … command_n`, and beside them the last result set; if there was none, the last statement's count."""
    statements = [Statement(table=_distinct(s.table), affected=s.affected) for s in statements]
    shown = next((s for s in reversed(statements) if s.table is not None), statements[-1])
    commands = {f"command_{number}": statement.shape() for number, statement in enumerate(statements)}
    return {**commands, **shown.shape()}


def _distinct(table: pa.Table | None) -> pa.Table | None:
    """Two columns of one name would be one key of a row: the later ones become `name_1`, `name_2`, …"""
    if table is None or len(set(table.column_names)) == table.num_columns:
        return table
    names: list[str] = []
    for name in table.column_names:
        new, number = name, 0
        while new in names:
            number += 1
            new = f"{name}_{number}"
        names.append(new)
    return table.rename_columns(names)


def dealt(params: Mapping[str, Value] | Sequence[Value], places: Sequence[Collection[str]]) -> list[Any]:
    """The values for each statement, whose places are called so ("1", "2", … for `?`).

    Raises:
        ToolError: there is no statement, or the params do not fit.
    """
    if not places:
        raise ToolError("no sql command provided", kind="validation")
    parameters = _Parameters(params)
    values = [parameters.of(each) for each in places]
    parameters.check_spent()
    return values


class _Parameters:
    """Deals `params` out: to each statement those it names, or, from a list, as many as it has places for."""

    def __init__(self, params: Mapping[str, Value] | Sequence[Value]) -> None:
        self._params = params
        self._taken = 0

    def of(self, places: Collection[str]) -> Any:
        """The values for a statement whose places are called `places` ("1", "2", … for `?`)."""
        if not places:
            return None
        if isinstance(self._params, Mapping):
            return {place: self._named(place, self._params) for place in places}
        values = list(self._params[self._taken : self._taken + len(places)])
        self._taken += len(places)
        if len(values) < len(places):
            raise _miscounted(f"{self._taken} params or more", len(self._params))
        return values

    def check_spent(self) -> None:
        """A list with values that no statement takes is a mistake."""
        if not isinstance(self._params, Mapping) and self._taken < len(self._params):
            raise _miscounted(f"{self._taken} params", len(self._params))

    @staticmethod
    def _named(place: str, params: Mapping[str, Value]) -> Value:
        if place not in params:
            known = ", ".join(params) or "none"
            raise ToolError(f"the SQL names ${place}, which is not in `params` ({known})", kind="sql")
        return params[place]


def _miscounted(taken: str, given: int) -> ToolError:
    return ToolError(f"the statements take {taken}, {given} are given; give one for each `?`", kind="sql")
