"""Histories as tests tell them: real records through the real fold, and what the owner would decide at each moment.

    log = history(chain("extract", "load")).requested().completed("extract").failed("load", retry=2.0)
    assert log.decided() == ()

A fact is written as if its worker had acted on the newest offer: before it, the owner decides all there is to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from noetl_stream.core.block import Block
from noetl_stream.core.decide import decide
from noetl_stream.core.events import (
    BlockCancelRequested,
    BlockClaimed,
    BlockCompleted,
    BlockContested,
    BlockFailed,
    BlockId,
    BlockParked,
    BlockRetryRequested,
    Callback,
    CallbackReceived,
    CancelRequested,
    Child,
    ChildEnded,
    Decision,
    Event,
    ExecutionRequested,
    Move,
    Parent,
    PartitionTaken,
    Retry,
    Sleep,
    StepEntered,
    Wait,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.iterations import attempt_of
from noetl_stream.core.machine import Verdict
from noetl_stream.core.messages import Message, Offer
from noetl_stream.core.outbox import outbox
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.plan import Plan
from noetl_stream.core.snapshot import state_hash
from noetl_stream.core.tokens import Token, issue
from noetl_stream.core.values import Error, Value
from noetl_stream.ids import execution_id, identity

START = 1_700_000_000.0
"""When every history begins, in seconds since the epoch."""
EXECUTION = execution_id(identity("tests"))

LONG = 300
"""Past so many records a history is refolded only every so many: refolding each time costs the square of its length."""

BROKEN = Error(kind="server_error", message="the server is on fire", retryable=True)


@dataclass(slots=True)
class Habits:
    """How every history of this session is built; `--always-replay` sets it."""

    always_replay: bool = False


HABITS = Habits()


@dataclass(frozen=True, slots=True)
class Logged:
    """One record of the log."""

    machine: int
    event: Event


@dataclass(slots=True)
class History:
    """A partition with one execution of interest. Methods that write a fact return the history, to be chained."""

    plan: Plan
    now: float = START
    state: Partition = field(default_factory=Partition)
    log: list[Logged] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    happened: list[Move] = field(default_factory=list)
    verdict: Verdict = "accepted"
    last: Folded = field(default_factory=lambda: Folded(verdict="accepted"))
    _found: Execution | None = None

    # reading

    @property
    def execution(self) -> Execution:
        """The execution, also after it has ended."""
        found = self.state.machines.get(EXECUTION, self._found)
        assert found is not None, "nothing was requested"
        return found

    @property
    def status(self) -> str:
        ended = self.execution.ended
        return self.execution.status if ended is None else ended.status

    @property
    def ctx(self) -> dict[str, Value]:
        return self.execution.ctx

    @property
    def result(self) -> Value:
        assert self.execution.ended is not None, "the execution has not ended"
        return self.execution.ended.result

    @property
    def error(self) -> Error | None:
        assert self.execution.ended is not None, "the execution has not ended"
        return self.execution.ended.error

    @property
    def after(self) -> int:
        """The last offset folded."""
        return len(self.log) - 1

    def decided(self) -> tuple[Move, ...]:
        """What the owner would decide now. Looking changes nothing."""
        machine = self.state.machines.get(EXECUTION)
        return () if machine is None else decide(self.plan, machine, self.now)

    def running(self) -> list[str]:
        """Blocks in flight after all has been decided, as `step` or `step[iteration]`."""
        self.settled()
        return [_label(self.execution, key) for key in self.execution.blocks]

    def entered(self) -> list[str]:
        """The steps in the order in which they were entered, repetitions included."""
        self.settled()
        return [move.step for move in self.happened if isinstance(move, StepEntered)]

    def messages(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]

    def offer(self, step: str, iteration: int = 0) -> Offer:
        """The newest offer of a block."""
        self.settled()
        found = [o for o in self.messages(Offer) if (o.block.step, o.block.iteration) == (step, iteration)]
        return found[-1]  # type: ignore[no-any-return]

    # writing

    def fold(self, event: Event, machine: int = EXECUTION) -> Self:
        """Append a record as it stands, deciding nothing before it."""
        if HABITS.always_replay and (len(self.log) < LONG or len(self.log) % LONG == 0):
            assert state_hash(refolded(self.log)) == state_hash(self.state), "the log tells another story"
        offset = len(self.log)
        self.log.append(Logged(machine, event))
        self.last = evolve(self.state, machine, event, offset)
        self.verdict = self.last.verdict
        self.happened += self.last.moves
        if self.last.machine is not None and machine == EXECUTION:
            self._found = self.last.machine
        at = event.at if isinstance(event, Decision) else self.now
        self.sent += outbox(self.plan, self.last, at)
        return self

    def settled(self) -> Self:
        """The owner decides, and the log takes it, until there is nothing left to decide."""
        while moves := self.decided():
            self.fold(self.decision(moves))
        return self

    def decision(self, moves: tuple[Move, ...]) -> Decision:
        return Decision(fence=self.state.fence, after=self.after, at=self.now, moves=moves)

    def later(self, seconds: float) -> Self:
        """Time passes; whoever decides next knows it."""
        self.now += seconds
        return self

    def requested(self, payload: Value = None, **more: Any) -> Self:
        return self.fold(request(self.plan, payload, time=self.now, **more))

    def cancelled(self, reason: str = "") -> Self:
        return self.fold(CancelRequested(time=self.now, reason=reason))

    def stopped(self, step: str, reason: str = "", **where: Any) -> Self:
        """Somebody asks that one iteration stop, at the attempt at which it is now."""
        key, attempt = self._standing(step, where)
        return self.fold(BlockCancelRequested(block=key, attempt=attempt, time=self.now, reason=reason))

    def rerun(self, step: str, *, force: bool = False, **where: Any) -> Self:
        """Somebody asks that one iteration run again."""
        key, attempt = self._standing(step, where)
        return self.fold(BlockRetryRequested(block=key, attempt=attempt + 1, time=self.now, force=force))

    def _standing(self, step: str, where: dict[str, Any]) -> tuple[BlockId, int]:
        """An iteration, and its attempt as whoever asks has read it; `attempt` overrides that. Nothing is decided before."""
        attempt = where.pop("attempt", None)
        key = BlockId(step, self.execution.epochs.get(step, 0), where.get("iteration", 0))
        run = self.execution.run_of(key)
        known = 0 if run is None else attempt_of(self.execution, run, key)
        return key, known if attempt is None else attempt

    def claimed(self, step: str, *, run: str = "run", lease: float = 30.0, **where: Any) -> Self:
        key, block = self._offered(step, **where)
        return self.fold(BlockClaimed(**_life(key, block), run=run, renew_by=self.now + lease, time=self.now))

    def contested(self, step: str, *, within: float = 60.0, **where: Any) -> Self:
        """A second run found the effect claimed; the first has so many seconds left to report."""
        key, block = self._offered(step, **where)
        found: dict[str, Any] = {**_life(key, block), "run": "second", "task": step, "effect": "5eed"}
        return self.fold(BlockContested(**found, deadline=self.now + within, time=self.now))

    def completed(self, step: str, result: Value = None, **more: Any) -> Self:
        key, block, more = self._sorted(step, more)
        return self.fold(BlockCompleted(**_life(key, block), run="run", result=result, time=self.now, **more))

    def failed(self, step: str, retry: float | None = None, error: Error = BROKEN, **more: Any) -> Self:
        """The tool failed; with `retry`, it is to be offered again after so many seconds."""
        key, block, more = self._sorted(step, more)
        again = None if retry is None else Retry(after=retry, resume=more.pop("resume", None))
        return self.fold(
            BlockFailed(**_life(key, block), run="run", error=error, retry=again, time=self.now, **more)
        )

    def parked(self, step: str, wait: Wait, **more: Any) -> Self:
        key, block, more = self._sorted(step, more)
        return self.fold(BlockParked(**_life(key, block), run="run", wait=wait, time=self.now, **more))

    def slept(self, step: str, seconds: float, **more: Any) -> Self:
        return self.parked(step, Sleep(until=self.now + seconds), **more)

    def called(self, step: str, **child: Any) -> Self:
        """The block parks until a child execution has ended."""
        wanted = {"path": "child", "version": None, "input": {}, "identity": identity("child").hex()} | child
        where = {name: wanted.pop(name) for name in ("iteration", "epoch") if name in wanted}
        return self.parked(step, Child(**wanted), **where)

    def child_ended(self, step: str, status: str = "COMPLETED", **more: Any) -> Self:
        more["status"] = status
        key, block, more = self._sorted(step, more)
        return self.fold(
            ChildEnded(
                block=key,
                attempt=block.attempt,
                segment=block.segment - 1,
                child=99,
                time=self.now,
                **more,
            )
        )

    def asked(self, step: str, *, within: float | None = None, **more: Any) -> Self:
        """The block parks until somebody outside answers, perhaps for so many seconds."""
        return self.parked(step, Callback(until=None if within is None else self.now + within), **more)

    def token(self, step: str, **where: Any) -> Token:
        """The token that the block gives out, or gave out when it parked."""
        key, block = self._offered(step, **where)
        segment = block.segment - (block.status == "asking")
        return issue(self.execution.request.seed, EXECUTION, key, block.attempt, segment)

    def answered(self, answer: Value, token: Token, **more: Any) -> Self:
        """Somebody answers with a token that they hold."""
        named = {"block": token.block, "attempt": token.attempt, "segment": token.segment}
        found = {**named, "seal": token.seal, "time": self.now, "answer": answer} | more
        return self.fold(CallbackReceived(**found))

    def each(self, step: str, result: Callable[[int], Value] = lambda index: index) -> Self:
        """Complete a loop's iterations one by one, the oldest in flight first, until none is left."""
        while mine := [k for k in self.settled().execution.blocks if k.step == step and k.iteration >= 0]:
            self.completed(step, result(mine[0].iteration), iteration=mine[0].iteration)
        return self

    def again(self, index: int = -1) -> Self:
        """A record is delivered a second time."""
        return self.fold(self.log[index].event, self.log[index].machine)

    def _sorted(self, step: str, more: dict[str, Any]) -> tuple[BlockId, Block, dict[str, Any]]:
        where = {name: more.pop(name) for name in ("iteration", "epoch") if name in more}
        return (*self._offered(step, **where), more)

    def _offered(self, step: str, iteration: int = 0, epoch: int | None = None) -> tuple[BlockId, Block]:
        self.settled()
        execution = self.execution
        key = BlockId(step, execution.epochs.get(step, 0) if epoch is None else epoch, iteration)
        return key, execution.blocks.get(key, Block())


def _life(key: BlockId, block: Block) -> dict[str, Any]:
    return {"block": key, "attempt": block.attempt, "segment": block.segment}


def _label(execution: Execution, key: BlockId) -> str:
    return f"{key.step}[{key.iteration}]" if execution.runs[key.step].loop or key.iteration < 0 else key.step


def request(plan: Plan, payload: Value = None, *, time: float = START, **more: Any) -> ExecutionRequested:
    pinned = {"path": plan.path, "version": plan.version, "digest": plan.digest, "catalog_offset": 0}
    given = {"identity": identity("tests").hex(), "seed": "seed", "payload": payload, "time": time} | pinned
    return ExecutionRequested(**(given | more))


def history(plan: Plan) -> History:
    """An empty log with an owner."""
    return History(plan).fold(PartitionTaken(owner="owner", time=START), machine=0)


def refolded(log: list[Logged]) -> Partition:
    """The state that a log tells, from nothing."""
    state = Partition()
    for offset, record in enumerate(log):
        evolve(state, record.machine, record.event, offset)
    return state


def waiting_parent() -> Parent:
    return Parent(execution=5, block=BlockId("call", 0, 0), attempt=0, segment=0)


def renamed(event: ExecutionRequested, **more: Any) -> ExecutionRequested:
    return replace(event, **more)
