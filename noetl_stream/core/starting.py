"""How an execution starts: its payload measured, its inputs rendered, and what the playbook makes of them settled."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from itertools import count
from typing import Any

from noetl_stream.core.counts import check_counts
from noetl_stream.core.events import ExecutionEnded, ExecutionStarted, Move
from noetl_stream.core.execution import Execution
from noetl_stream.core.plan import Expression, Plan, Scope
from noetl_stream.core.run import INPUT_BYTES, json_size
from noetl_stream.core.scope import moment, token
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import ExpressionError


def start(plan: Plan, draft: Execution, now: float) -> Move:
    """The first move. Inputs that cannot be rendered, or are refused, end the execution before it began."""
    if (refusal := _refusal(plan, draft)) is not None:
        return ExecutionEnded(status="FAILED", error=refusal)
    given = _given(plan, draft, now)
    try:
        workload = plan.workload.evaluate(given)
        scope = _settled(given, workload)
        _check_payload(plan, draft, scope)
        _check_inputs(workload)
        check_counts(plan, workload)
        deadline = _deadline(plan, draft, scope)
        return ExecutionStarted(
            workload=workload, entry=plan.entry, deadline=deadline, retain=plan.policy.retention
        )
    except ExpressionError as error:
        return ExecutionEnded(
            status="FAILED", error=Error(kind="validation", message=str(error), place=error.place)
        )


def _refusal(plan: Plan, draft: Execution) -> Error | None:
    """Why this tenant may not run the playbook. Asked here, so that it holds for requests and for children."""
    access, tenant = plan.policy.access, draft.request.tenant
    if access is None or not access.tenants or tenant in access.tenants:
        return None
    message = (
        f"tenant '{tenant}' may not run '{plan.path}': its `policy.access.tenants` does not name it; "
        "ask as a tenant that it names"
    )
    return Error(kind="auth", message=message)


def _given(plan: Plan, draft: Execution, now: float) -> Mapping[str, Any]:
    """What a default may read beside the inputs before it."""
    text = str(draft.id)
    return {
        "payload": draft.request.payload,
        "input": draft.request.payload,
        "env": plan.environment,
        "execution_id": text,
        "job": {"uuid": text, "execution_id": text},
        "path": plan.path,
        "version": plan.version,
        "spec": plan.metadata.get("spec"),
        "now": moment(now),
        "token": token(draft.request.seed, draft.id, "workload", count()),
    }


def _settled(given: Mapping[str, Any], workload: Value) -> Scope:
    """The inputs, by themselves and as bare names, before everything else that was given."""
    return ChainMap({"workload": workload}, workload, dict(given))


def _number(value: float | Expression | None, scope: Scope) -> float | None:
    return float(value.evaluate(scope)) if isinstance(value, Expression) else value


def _deadline(plan: Plan, draft: Execution, scope: Scope) -> float | None:
    """The earlier of what the request and what the playbook say."""
    length = _number(plan.deadline, scope)
    own = None if length is None else draft.request.time + length
    return min((each for each in (draft.request.deadline, own) if each is not None), default=None)


def _check_payload(plan: Plan, draft: Execution, scope: Scope) -> None:
    most = _number(plan.max_payload, scope)
    if most is not None and (size := json_size(draft.request.payload)) > most:
        raise ExpressionError(
            f"the payload has {size} bytes, and this playbook takes at most {most:.0f}; send less, or a reference",
            text="max_payload_bytes",
            place="executor.spec.policy.limits",
        )


def _check_inputs(workload: Value) -> None:
    """They stand in one event, with what is decided beside them."""
    if (size := json_size(workload)) > INPUT_BYTES:
        raise ExpressionError(
            f"the inputs have {size} bytes, and an execution takes at most {INPUT_BYTES}; "
            "let a step make or fetch what is large",
            text="workload",
            place="workload",
        )
