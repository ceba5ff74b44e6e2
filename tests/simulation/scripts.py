"""What a step's tool does in a simulated run: scripted, so that every run of a block does the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from noetl_stream.core.events import (
    BlockCompleted,
    BlockFailed,
    BlockParked,
    Callback,
    Child,
    Outcome,
    Retry,
    Sleep,
    Wait,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.values import Error, Piped, Value, unmarked
from noetl_stream.ids import child_request

Kind: TypeAlias = Literal["plain", "long", "nap", "child", "rounds", "ask"]

BACKOFF, NAP, PATIENCE = 2.0, 2.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """`fails` attempts fail and are retried; the iterations in `fatal` fail for good.

    A `nap` parks twice, an `ask` until somebody answers, anew whenever its patience is over, a `child` until the execution of `child` ends, `long` claims before it runs; `rounds` is a
    loop inside the task, which parks after each round and carries on what it has. `writes` sets ctx.<step> to
    (epoch + salt) % 2, `counts` adds one to the step's own step.n. `large` results leave the log for the store when
    a loop gathers them, `kept` ones at once; `piped` ones have their tasks' beside them. What may happen `once` is claimed
    before it.
    """

    kind: Kind = "plain"
    fails: int = 0
    fatal: frozenset[int] = frozenset()
    child: str = ""
    wait: bool = True
    timeout: float | None = None
    writes: bool = False
    salt: int = 0
    large: bool = False
    kept: bool = False
    piped: bool = False
    counts: bool = False
    once: bool = False
    upstream: str | None = None


def act(script: Script, offer: Offer, *, run: str, now: float) -> Outcome:
    """The outcome of one segment of one attempt. Nothing but times and the run's name depends on when or where."""
    common: dict[str, Any] = {
        "block": offer.block,
        "attempt": offer.attempt,
        "segment": offer.segment,
        "run": run,
        "time": now,
    }
    error = _error(script, offer)
    if error is not None:
        retry = Retry(after=BACKOFF, resume="again") if error.retryable else None
        return BlockFailed(**common, error=error, retry=retry)
    wait = _wait(script, offer, now)
    if wait is not None:
        return BlockParked(**common, wait=wait, resume=_notes(script, offer))
    before = offer.variables.get("step.n") or 0
    written = writes(script, offer.block.step, offer.block.epoch) | counted(script, before)
    return BlockCompleted(**common, result=_result(script, offer, before), writes=written)


def _error(script: Script, offer: Offer) -> Error | None:
    if offer.attempt < script.fails:
        return Error(kind="connection", message="try again", retryable=True)
    if offer.block.iteration in script.fatal:
        return Error(kind="python", message="no")
    if offer.answered and offer.answer["status"] in ("FAILED", "CANCELLED"):
        return Error(kind="playbook", message="the child did not complete")
    return None


def _wait(script: Script, offer: Offer, now: float) -> Wait | None:
    if script.kind in ("nap", "rounds") and offer.segment < 2:
        return Sleep(until=now + NAP)
    if script.kind == "ask" and (not offer.answered or offer.answer["status"] != "ANSWERED"):
        patient = script.timeout is None or offer.segment > 3
        return Callback(until=None if patient else now + PATIENCE)
    if script.kind == "child" and not offer.answered:
        identity = child_request(f"{offer.execution}/{offer.block}", offer.attempt, "tool", 0)
        return Child(
            path=script.child,
            version=1,
            input={"x": offer.workload["x"]},
            identity=identity.hex(),
            wait=script.wait,
            return_step="last",
            timeout=script.timeout,
        )
    return None


def _notes(script: Script, offer: Offer) -> Value:
    """What the next segment is handed: rounds so far, or where it stands."""
    if script.kind == "ask":
        return "asked"
    if script.kind != "rounds":
        return offer.segment
    return [*(offer.resume if offer.segment else ()), f"round {offer.segment}"]


def _result(script: Script, offer: Offer, before: int) -> Value:
    seen = unmarked(offer.results.get(script.upstream)) if script.upstream is not None else None
    answer = _heard(offer.answer) if offer.answered else None
    found = value(
        script,
        str(offer.block),
        item=offer.item,
        x=offer.workload["x"],
        seen=seen,
        left=offer.resume,
        answer=answer,
        before=before,
    )
    return Piped(found, {"first": found["by"], "last": found}) if script.piped else found


def _heard(answer: Value) -> Value:
    """What a child brought, or somebody outside said."""
    match answer["status"]:
        case "COMPLETED":
            return answer["result"]
        case "ANSWERED":
            return answer["answer"]
        case _:
            return None


def value(
    script: Script,
    block: str,
    *,
    item: Value,
    x: Value,
    seen: Value,
    left: Value,
    answer: Value,
    before: int,
) -> Value:
    """A completed block's result: everything it was given, so that a wrong input shows."""
    by = seen.get("by") if isinstance(seen, dict) else None
    bulk = "." * 17_000 if script.large else ""
    given = {"item": item, "x": x, "seen": by, "left": left, "answer": answer, "before": before}
    return {"by": block, **given, "bulk": bulk}


def left_behind(script: Script) -> Value:
    """The notes that a script's last segment is handed back."""
    match script.kind:
        case "nap":
            return 1
        case "ask":
            return "asked"
        case "child":
            return 0
        case "rounds":
            return ["round 0", "round 1"]
        case _:
            return "again" if script.fails else None


def counted(script: Script, before: int) -> dict[str, Value]:
    """The step's own variable, one higher."""
    return {"step.n": before + 1} if script.counts else {}


def writes(script: Script, step: str, epoch: int) -> dict[str, Value]:
    return {f"ctx.{step}": (epoch + script.salt) % 2} if script.writes else {}
