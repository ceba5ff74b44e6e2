"""What a step's tool does in a simulated run: scripted, so that every run of a block does the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from noetl_stream.core.events import (
    BlockCompleted,
    BlockFailed,
    BlockParked,
    Child,
    Outcome,
    Retry,
    Sleep,
    Wait,
)
from noetl_stream.core.messages import Offer
from noetl_stream.core.values import Error, Value
from noetl_stream.ids import child_request

Kind: TypeAlias = Literal["plain", "long", "nap", "child"]

BACKOFF, NAP = 2.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """`fails` attempts fail and are retried; the iterations in `fatal` fail for good.

    A `nap` parks twice, a `child` until the execution of `child` ends, `long` claims before it runs. `writes` sets
    ctx.<step> to (epoch + salt) % 2. `large` results leave the log for the store when a loop gathers them.
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
        return BlockParked(**common, wait=wait, resume=offer.segment)
    return BlockCompleted(
        **common, result=_result(script, offer), writes=writes(script, offer.block.step, offer.block.epoch)
    )


def _error(script: Script, offer: Offer) -> Error | None:
    if offer.attempt < script.fails:
        return Error(kind="connection", message="try again", retryable=True)
    if offer.block.iteration in script.fatal:
        return Error(kind="python", message="no")
    if offer.answered and offer.answer["status"] in ("FAILED", "CANCELLED"):
        return Error(kind="playbook", message="the child did not complete")
    return None


def _wait(script: Script, offer: Offer, now: float) -> Wait | None:
    if script.kind == "nap" and offer.segment < 2:
        return Sleep(until=now + NAP)
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


def _result(script: Script, offer: Offer) -> Value:
    seen = offer.results.get(script.upstream) if script.upstream is not None else None
    answer = offer.answer["result"] if offer.answered and offer.answer["status"] == "COMPLETED" else None
    return value(
        script,
        str(offer.block),
        item=offer.item,
        x=offer.workload["x"],
        seen=seen,
        left=offer.resume,
        answer=answer,
    )


def value(
    script: Script, block: str, *, item: Value, x: Value, seen: Value, left: Value, answer: Value
) -> Value:
    """A completed block's result: everything it was given, so that a wrong input shows."""
    by = seen.get("by") if isinstance(seen, dict) else None
    bulk = "." * 17_000 if script.large else ""
    return {"by": block, "item": item, "x": x, "seen": by, "left": left, "answer": answer, "bulk": bulk}


def left_behind(script: Script) -> Value:
    """The notes that a script's last segment is handed back."""
    match script.kind:
        case "nap":
            return 1
        case "child":
            return 0
        case _:
            return "again" if script.fails else None


def writes(script: Script, step: str, epoch: int) -> dict[str, Value]:
    return {f"ctx.{step}": (epoch + script.salt) % 2} if script.writes else {}
