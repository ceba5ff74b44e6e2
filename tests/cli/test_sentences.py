"""Every record that the log can hold has a sentence of its own."""

from __future__ import annotations

from typing import get_args

import pytest

from noetl_stream.cli.sentences import sentence
from noetl_stream.core.events import (
    ITEMS,
    PROBES,
    ROUTE,
    BlockCancelRequested,
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFailed,
    BlockId,
    BlockLost,
    BlockOffered,
    BlockParked,
    BlockRetryRequested,
    BlocksReported,
    Callback,
    CallbackReceived,
    CancelRequested,
    Child,
    ChildEnded,
    ChildRequested,
    CredentialUse,
    Decision,
    Event,
    ExecutionEnded,
    ExecutionQuarantined,
    ExecutionRequested,
    ExecutionStarted,
    FailureMet,
    Fork,
    LoopClosed,
    Move,
    PartitionTaken,
    RecordRejected,
    Retry,
    Sleep,
    StepEntered,
    StepFinished,
    Target,
)
from noetl_stream.core.values import Error

BLOCK, SEVENTEENTH = BlockId("load", 0, 0), BlockId("load", 0, 17)
LATE = Error(kind="timeout", message="too late", step="load")


def offered(iteration: int, attempt: int = 0) -> BlockOffered:
    return BlockOffered(block=BlockId("load", 0, iteration), attempt=attempt, segment=0)


def decided(*moves: Move) -> Decision:
    return Decision(fence=0, after=0, at=0.0, moves=moves)


SAID: list[tuple[Event, str]] = [
    (
        ExecutionRequested(
            identity="", path="sales", version=2, digest="", catalog_offset=0, payload={}, seed="", time=0.0
        ),
        "sales version 2 is requested",
    ),
    (
        ExecutionRequested(
            identity="0" * 32,
            path="sales",
            version=2,
            digest="",
            catalog_offset=0,
            payload={},
            seed="",
            time=0.0,
            fork=Fork(execution=7, offset=3, address="load#0[17]", sets={"month": 2}),
        ),
        "sales version 2 is requested, forked from execution 7 at 'load#0[17]' with other 'month'",
    ),
    (BlockCancelRequested(block=BLOCK, attempt=0, time=0.0), "cancelling 'load' is requested"),
    (
        BlockCancelRequested(block=BlockId("load", 0, 17), attempt=0, time=0.0, reason="stuck"),
        "cancelling 'load'[17] is requested: stuck",
    ),
    (BlockRetryRequested(block=BLOCK, attempt=1, time=0.0), "'load' is to run again, as attempt 2"),
    (CancelRequested(time=0.0), "cancelling is requested"),
    (CancelRequested(time=0.0, reason="wrong month"), "cancelling is requested: wrong month"),
    (
        BlockClaimed(block=BLOCK, attempt=0, segment=0, run="r", renew_by=0.5, time=0.0),
        "'load' is claimed until 1970-01-01T00:00:00.500Z",
    ),
    (
        BlockContested(
            block=BLOCK, attempt=0, segment=0, run="r", task="pay", effect="5eed", deadline=0.5, time=0.0
        ),
        "'load' is not run again: 'pay' was begun; its outcome is awaited until 1970-01-01T00:00:00.500Z",
    ),
    (
        decided(BlockLost(block=BLOCK, attempt=0, segment=0, error=LATE)),
        "'load' is given up (timeout: too late (step 'load'))",
    ),
    (
        BlockCompleted(
            block=SEVENTEENTH, attempt=0, segment=0, run="r", result=1, time=0.0, tries=3, duration_ms=12.4
        ),
        "'load'[17] completed in 12 ms after 3 tries",
    ),
    (
        BlockFailed(block=BLOCK, attempt=0, segment=0, run="r", error=LATE, time=0.0, retry=Retry(after=2.0)),
        "'load' failed: timeout: too late (step 'load'); again in 2 s",
    ),
    (
        BlockParked(block=BLOCK, attempt=0, segment=0, run="r", wait=Sleep(until=1.0), time=0.0),
        "'load' waits until 1970-01-01T00:00:01.000Z",
    ),
    (
        BlockParked(
            block=BLOCK,
            attempt=0,
            segment=0,
            run="r",
            wait=Child(path="prices", version=None, input={}, identity=""),
            time=0.0,
        ),
        "'load' waits for playbook prices",
    ),
    (
        BlockParked(block=BLOCK, attempt=0, segment=0, run="r", wait=Callback(until=1.0), time=0.0),
        "'load' waits for an answer until 1970-01-01T00:00:01.000Z",
    ),
    (
        BlockParked(block=BLOCK, attempt=0, segment=0, run="r", wait=Callback(), time=0.0),
        "'load' waits for an answer",
    ),
    (
        CallbackReceived(block=BLOCK, attempt=0, segment=0, seal="", time=0.0, actor="ann"),
        "ann answers 'load'",
    ),
    (
        CallbackReceived(block=SEVENTEENTH, attempt=0, segment=0, seal="", time=0.0),
        "somebody answers 'load'[17]",
    ),
    (
        BlocksReported(
            facts=(
                BlockCompleted(block=SEVENTEENTH, attempt=0, segment=0, run="r", result=1, time=0.0),
                BlockFailed(block=BLOCK, attempt=0, segment=0, run="r", error=LATE, time=0.0),
            )
        ),
        "'load'[17] completed in 0 ms; 'load' failed: timeout: too late (step 'load')",
    ),
    (
        ChildEnded(block=BLOCK, attempt=0, segment=0, child=7, status="COMPLETED", time=0.0),
        "'load' hears of execution 7: COMPLETED",
    ),
    (decided(), "nothing is decided"),
    (
        decided(ExecutionStarted(workload={}, entry="load"), StepEntered(step="load", epoch=0), offered(0)),
        "it starts at 'load'; step 'load' is entered; 'load' is offered",
    ),
    (
        decided(StepEntered(step="load", epoch=2, total=3, loop=True), offered(0), offered(1), offered(2)),
        "step 'load' is entered again (epoch 2) with 3 iterations; 3 blocks of 'load' are offered",
    ),
    (
        decided(StepEntered(step="load", epoch=0, total=None, loop=True), offered(ITEMS)),
        "step 'load' is entered with a collection to come; the beginning of 'load' is offered",
    ),
    (
        decided(BlockOffered(block=SEVENTEENTH, attempt=0, segment=0, count=40)),
        "40 blocks of 'load' are offered",
    ),
    (decided(offered(ROUTE, attempt=1)), "the routing of 'load' is offered, attempt 2"),
    (
        decided(LoopClosed(step="load", epoch=0, error=LATE)),
        "the loop of 'load' gets no more iterations (timeout: too late (step 'load'))",
    ),
    (decided(offered(PROBES - 1)), "probe 2 of 'load' is offered"),
    (
        decided(FailureMet(step="mend", error=LATE)),
        "it fails (timeout: too late (step 'load')), and 'mend' runs before it ends",
    ),
    (decided(ChildRequested(block=BLOCK, attempt=0, segment=0)), "the child of 'load' is started"),
    (
        decided(
            StepFinished(step="load", epoch=0, status="done", targets=(Target(step="a"), Target(step="b")))
        ),
        "step 'load' is done → 'a', 'b'",
    ),
    (
        decided(
            StepFinished(step="load", epoch=0, status="failed", error=LATE),
            ExecutionEnded(status="FAILED", error=LATE),
        ),
        "step 'load' is failed (timeout: too late (step 'load')); "
        "the execution is FAILED: timeout: too late (step 'load')",
    ),
    (PartitionTaken(owner="o-1", time=0.0), "o-1 takes the partition"),
    (
        RecordRejected(fence=0, offset=9, reason="torn", time=0.0),
        "the record at offset 9 counts for nobody: torn",
    ),
    (ExecutionQuarantined(fence=0, reason="a fault", time=0.0), "the execution is set aside: a fault"),
]


@pytest.mark.parametrize(("event", "said"), SAID, ids=[type(event).__name__ for event, _ in SAID])
def test_a_record_is_said_in_a_sentence(event: Event, said: str) -> None:
    assert sentence(event) == said


def test_every_kind_of_record_and_move_was_said() -> None:
    events = {type(event) for event, _ in SAID}
    moves = {type(move) for event, _ in SAID if isinstance(event, Decision) for move in event.moves}

    assert events == set(get_args(Event))
    assert moves == set(get_args(Move))


def test_a_run_s_credentials_are_named_and_never_shown() -> None:
    uses = (
        CredentialUse(alias="pg_main", provider="keychain", version=3),
        CredentialUse(alias="gh", provider="document"),
    )
    completed = BlockCompleted(
        block=BlockId("load", 0, 0), attempt=0, segment=0, run="r", result=1, time=0.0, credentials=uses
    )

    assert sentence(completed) == (
        "'load' completed in 0 ms; it used pg_main version 3 (keychain), gh (document)"
    )
