"""A contract's conditions asked of rows, by dataframely over Polars. Loaded by the first step that has a contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import polars as pl

from noetl_stream.core.values import Value
from noetl_stream.dsl.contracts import Contract
from noetl_stream.errors import ToolError
from noetl_stream.worker.columns import FITS, Rows, columns_of, typed

ROW = "row number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition on each row. `told` is how it is said of `rows` that break it."""

    check: str
    column: str | None
    holds: pl.Expr
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The `violations` found, each `{check, column, count, row, message}`; the `bad` rows by number, in order."""

    violations: list[dict[str, Value]]
    bad: list[int]


def check(rows: Rows, contract: Contract, checks: Sequence[str]) -> Checked:
    """Ask everything of every row. `checks` are the contract's, rendered. Raises ToolError for one that cannot be asked."""
    present = columns_of(rows)
    if not len(rows) and not present:
        return Checked(violations=[], bad=[])
    lacking = [name for name in _demanded(contract) if name not in present]
    rules = [*_of_schema(contract, present), *_of_checks(contract, checks, present)]
    if not rules:
        return Checked(violations=[_lacks(name, len(rows)) for name in lacking], bad=[])
    frame = typed(rows, _needed(rules, contract, present), contract.types).with_row_index(ROW)
    broken = _broken(frame, rules)
    violations = [_violation(rule, broken[name], len(rows)) for name, rule in _named(rules) if name in broken]
    return Checked(
        violations=[*(_lacks(name, len(rows)) for name in lacking), *violations],
        bad=sorted(frozenset[int]().union(*broken.values())),
    )


def _demanded(contract: Contract) -> dict[str, None]:
    """The columns that a contract names, in its order."""
    return dict.fromkeys((*contract.types, *contract.not_null, *(c for cs in contract.unique for c in cs)))


def _of_schema(contract: Contract, present: frozenset[str]) -> Iterator[Rule]:
    for name, declared in contract.types.items():
        if name in present:
            told = f"column '{name}' is not {declared.word}"
            yield Rule(check="schema", column=name, holds=pl.col(FITS + name), told=told)
    for name in dict.fromkeys(contract.not_null):
        if name in present:
            # What is of a wrong type is null here; it has been told already.
            holds = pl.col(name).is_not_null() | (~pl.col(FITS + name) if name in contract.types else False)
            yield Rule(check="not_null", column=name, holds=holds, told=f"column '{name}' is null")
    for names in dict.fromkeys(contract.unique):
        if present.issuperset(names):
            nulls = pl.any_horizontal(pl.col(name).is_null() for name in names)
            label = ", ".join(names)
            holds = nulls | pl.struct(*names).is_unique()
            yield Rule(check="unique", column=label, holds=holds, told=f"'{label}' is not unique")


def _of_checks(contract: Contract, checks: Sequence[str], present: frozenset[str]) -> Iterator[Rule]:
    for text, shown in zip(checks, contract.texts, strict=True):
        try:
            holds = pl.sql_expr(text)
        except pl.exceptions.PolarsError as error:
            why = str(error) if text == shown else type(error).__name__
            raise _unclear(contract, shown, f"is no SQL condition ({why})") from None
        for name in holds.meta.root_names():
            if name not in present:
                raise _unclear(contract, shown, f"reads column '{name}', which the result lacks")
        yield Rule(check=shown, column=None, holds=holds, told=f"`{shown}` does not hold")


def _unclear(contract: Contract, check: str, why: str) -> ToolError:
    return ToolError(f"the check `{check}` {why}; correct it at {contract.place}", kind="validation")


def _needed(rules: Sequence[Rule], contract: Contract, present: frozenset[str]) -> list[str]:
    roots = dict.fromkeys(name for rule in rules for name in rule.holds.meta.root_names())
    return [name for name in {**roots, **dict.fromkeys(contract.types)} if name in present]


def _named(rules: Sequence[Rule]) -> Iterator[tuple[str, Rule]]:
    return ((f"rule{number}", rule) for number, rule in enumerate(rules))


def _broken(frame: pl.DataFrame, rules: Sequence[Rule]) -> Mapping[str, list[int]]:
    """The rows that break each rule, by the rule's name; a condition on a null is no violation, as in SQL."""
    columns: dict[str, Any] = {f"column{n}": dy.Any(alias=name) for n, name in enumerate(frame.columns)}
    conditions = {name: _condition(rule.holds) for name, rule in _named(rules)}
    schema: Any = type("Asked", (dy.Schema,), columns | conditions)
    try:
        details = schema.filter(frame)[1].details()
    except pl.exceptions.PolarsError as error:
        asked = ", ".join(f"`{rule.check}`" for rule in rules if rule.column is None)
        raise ToolError(
            f"the checks {asked} cannot be asked of these columns ({type(error).__name__}); compare like with like",
            kind="validation",
        ) from None
    found = {name: details.filter(pl.col(name) == "invalid")[ROW].to_list() for name in conditions}
    return {name: numbers for name, numbers in found.items() if numbers}


def _condition(holds: pl.Expr) -> Any:
    return dy.rule()(lambda schema: holds)


def _violation(rule: Rule, rows: list[int], total: int) -> dict[str, Value]:
    message = f"{rule.told} in {len(rows):,} of {total:,} rows, rows[{min(rows)}] for one"
    return {
        "check": rule.check,
        "column": rule.column,
        "count": len(rows),
        "row": min(rows),
        "message": message,
    }


def _lacks(name: str, total: int) -> dict[str, Value]:
    message = f"column '{name}' is missing"
    return {"check": "schema", "column": name, "count": total, "row": None, "message": message}
