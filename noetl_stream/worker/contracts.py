"""A step's output held to its contract before anyone reads it: refused, parted, or let pass with what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Error, Value
from noetl_stream.dsl.contracts import Contract
from noetl_stream.dsl.lookup import is_frame

PLACES = ("rows", "data")
"""Where a mapping keeps its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of a result: `error` if it was refused, else the `result` that stands, and the rows set aside."""

    result: Any
    findings: dict[str, Value]
    aside: Any = None
    error: Error | None = None


async def hold_to(contract: Contract, result: Any, scope: Mapping[str, Any], step: str) -> Held:
    """Ask a contract of a result. Raises ToolError or ExpressionError for a contract that cannot be asked."""
    rows = table_of(result)
    if rows is None:
        return _judged(contract, result, [_no_table(result)], total=0, step=step)
    checks = evaluate(contract.checks, scope) if contract.checks is not None else []
    # Polars and dataframely are loaded by the first contract, not by every worker.
    from noetl_stream.worker.checking import check

    checked = await asyncio.to_thread(check, rows, contract, [str(text) for text in checks])
    parted = contract.on_violation == "quarantine"
    left = len(rows) - len(checked.bad) if parted else len(rows)
    violations = [*checked.violations, *_bounds(contract, left, scope)]
    held = _judged(contract, result, violations, total=len(rows), step=step, bad=len(checked.bad))
    if held.error is not None or not (parted and checked.bad):
        return held
    good, aside = await asyncio.to_thread(_parted, rows, checked.bad)
    return Held(result=_replaced(result, rows, good), findings=held.findings, aside=aside)


def table_of(result: Any) -> Any:
    """The rows of a result: a frame, a list of mappings, or what a mapping has of these as `rows` or `data`."""
    found = [result] if not isinstance(result, dict) else [result[key] for key in PLACES if key in result]
    return next((each for each in found if is_frame(each) or _are_rows(each)), None)


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _no_table(result: Any) -> dict[str, Value]:
    message = f"the result is no table but {'null' if result is None else f'a {type(result).__name__}'}"
    return {"check": "rows", "column": None, "count": 0, "row": None, "message": message}


def _bounds(contract: Contract, total: int, scope: Mapping[str, Any]) -> Iterator[dict[str, Value]]:
    for limit, word in ((contract.least, "at least"), (contract.most, "at most")):
        bound = None if limit is None else evaluate(limit, scope)
        if bound is not None and (total < bound if word == "at least" else total > bound):
            message = f"there are {total:,} rows, {word} {bound:,} are expected"
            yield {"check": "rows", "column": None, "count": total, "row": None, "message": message}


def _judged(
    contract: Contract,
    result: Any,
    violations: list[dict[str, Value]],
    *,
    total: int,
    step: str,
    bad: int = 0,
) -> Held:
    """The verdict. Rows can be set aside; what is wrong with a whole table cannot."""
    findings = {
        "rows": total,
        "violations": bad or (1 if violations else 0),
        "on_violation": contract.on_violation,
        "checks": violations,
        "quarantined": [] if contract.on_violation == "quarantine" else None,
    }
    refused = {
        "fail": violations,
        "quarantine": [each for each in violations if each["row"] is None],
        "warn": [],
    }[contract.on_violation]
    if not refused:
        return Held(result=result, findings=findings)
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    message = f"the result of step '{step}' breaks its contract: {refused[0]['message']}{more}"
    error = Error(kind="validation", message=message, step=step, place=contract.place)
    return Held(result=None, findings=findings, error=error)


def _parted(rows: Any, bad: list[int]) -> tuple[Any, Any]:
    """The rows that stand and those set aside, as what they were."""
    apart = frozenset(bad)
    if isinstance(rows, list):
        return [row for n, row in enumerate(rows) if n not in apart], [rows[n] for n in bad]
    table = rows.arrow()
    return table.take([n for n in range(len(rows)) if n not in apart]), table.take(bad)


def _replaced(value: Any, old: Any, new: Any) -> Any:
    """The result with other rows, wherever it has them, and their count beside them."""
    if _is_same(value, old):
        return new
    if not isinstance(value, dict):
        return value
    changed = {key: _replaced(each, old, new) for key, each in value.items()}
    if "row_count" in changed and _is_same(value.get("rows"), old):
        changed["row_count"] = len(new)
    return changed


def _is_same(value: Any, old: Any) -> bool:
    return value is old or (is_frame(value) and is_frame(old) and value.ref == old.ref)
