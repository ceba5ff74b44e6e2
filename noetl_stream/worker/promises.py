"""The execution's result held to what its playbook promises, where the result is at hand."""

from __future__ import annotations

import asyncio
from typing import Any

from noetl_stream.core.values import Error, Value
from noetl_stream.dsl.json_schema import Misfit
from noetl_stream.dsl.native import native_whole
from noetl_stream.dsl.tasks import Promise
from noetl_stream.worker.contracts import Held


async def hold_result(promise: Promise, result: Any, source: str | None) -> Held:
    """Ask it of the result of the step `source`. Raises ExpressionError for a schema that cannot be asked."""
    found, misfit = await asyncio.to_thread(_asked, promise, result)
    checks = [] if misfit is None else [_told(misfit, source)]
    findings: dict[str, Value] = {
        "rows": None,
        "violations": len(checks),
        "on_violation": promise.on_drift,
        "checks": checks,
        "quarantined": None,
    }
    if misfit is None or promise.on_drift == "widen":
        return Held(result=None, findings=findings)
    error = Error(kind="validation", message=checks[0]["message"], place=promise.schema.place)
    aside = found if promise.on_drift == "quarantine" else None
    return Held(result=None, findings=findings, aside=aside, error=error)


def _asked(promise: Promise, result: Any) -> tuple[Value, Misfit | None]:
    found = native_whole(result)
    return found, promise.schema.misfit(found)


def _told(misfit: Misfit, source: str | None) -> dict[str, Value]:
    of = "" if source is None else f" of step '{source}'"
    message = f"the result{misfit.where}{of} is not what the playbook promises, `{misfit.asked}`"
    return {
        "check": misfit.asked,
        "column": misfit.where or None,
        "count": 1,
        "row": None,
        "message": message,
    }
