"""The moment of an execution at which a fork parts from it, and the state that the fork takes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from noetl_stream.core.address import Address, parse
from noetl_stream.core.events import (
    BlockId,
    Decision,
    ExecutionRequested,
    FailureMet,
    Fork,
    Move,
    StepEntered,
    StepFinished,
)
from noetl_stream.core.execution import Execution
from noetl_stream.core.forking import Unfoldable, packed, past_of
from noetl_stream.core.iterations import can_reopen, standing
from noetl_stream.core.located import entered, iteration
from noetl_stream.core.past import Past
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest
from noetl_stream.ids import fork_request, partition_of
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import ALWAYS, Told, state_at, tell
from noetl_stream.wire.topics import Topics

EVENT_BYTES = 256 * 1024
"""What an event takes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """Where a fork begins: `past`, as of the record at `offset`, to begin anew at `address`, which names its epoch.

    `execution` is the one that it parts from, `source` how that was asked for.
    """

    execution: int
    source: ExecutionRequested
    offset: int
    address: Address
    past: Past

    def request(
        self, *, sets: Mapping[str, Value], key: str, seed: str, now: float, actor: str
    ) -> ExecutionRequested:
        """The first event of the fork: the same playbook for the same tenant, without a deadline or anybody to answer.

        Raises InvalidRequest if the past is too large for the log.
        """
        past, address = self._packed(), str(self.address)
        return replace(
            self.source,
            identity=fork_request(self.execution, address, key).hex(),
            seed=seed,
            time=now,
            actor=actor,
            parent=None,
            reply_to=None,
            correlation=None,
            deadline=None,
            fork=Fork(execution=self.execution, offset=self.offset, address=address, sets=sets, past=past),
        )

    def _packed(self) -> bytes:
        try:
            past = packed(self.past)
        except Unfoldable as fault:
            raise InvalidRequest(
                f"execution {self.execution} has no past there that a fork could take along: {fault}; "
                "fork an earlier step"
            ) from fault
        if len(past) > EVENT_BYTES:
            raise InvalidRequest(
                f"the past of execution {self.execution} takes {len(past)} bytes there, more than an event holds; "
                "fork an earlier step"
            )
        return past


async def part(reader: Reader, topics: Topics, execution: int, text: str) -> Parting | None:
    """Where a fork of `execution` at the address `text` begins; None if the log has no such execution.

    An iteration begins anew as of the end of its loop, or of the log; a step as of the moment when it was entered.

    Raises InvalidRequest if that moment is not in the execution's own log, or what is needed is not kept.
    """
    now = await state_at(reader, topics, execution, ALWAYS)
    if now is None:
        return None
    address = parse(text, now.epochs)
    watch = _Watch(replace(address, epoch=entered(now, address)))
    stop = await reader.end(topics.events.name, partition_of(execution, topics.events.partitions))
    async for told in tell(reader, topics, execution, stop=stop):
        watch.see(told)
        if watch.found is not None:
            break
    return watch.parting(now)


class _Watch:
    """Follows an execution's records to where a fork at `address` parts from it."""

    def __init__(self, address: Address) -> None:
        self.found: Parting | None = None
        self._address, self._whole = address, address.iteration is None
        self._now: Execution | None = None
        self._offset = -1

    def see(self, told: Told) -> None:
        """Take in a record. A decision is looked at move by move, on a copy of the state that it was made on."""
        if told.folded.verdict != "accepted":
            return
        if isinstance(told.event, Decision) and self._now is not None:
            self._look_into(self._now.draft(), told.event, told.record.offset)
        self._now, self._offset = told.folded.machine, told.record.offset

    def parting(self, now: Execution) -> Parting:
        """Where they part: where it was found, or else at the end, if the step still runs."""
        if self.found is not None:
            return self.found
        if self._now is None or self._whole or not self._runs(self._now):
            raise InvalidRequest(_elsewhere(now, self._address))
        return self._taken(self._now, self._offset)

    def _look_into(self, draft: Execution, event: Decision, offset: int) -> None:
        for move in event.moves:
            if self._is_here(draft, move):
                self.found = self._taken(draft, offset)
                return
            draft.apply(move, event.at)

    def _is_here(self, state: Execution, move: Move) -> bool:
        """Whether what comes next is the step's entry, or takes its run away."""
        step, epoch = self._address.step, self._address.epoch
        match move:
            case StepEntered():
                return self._whole and (move.step, move.epoch) == (step, epoch)
            case StepFinished():
                return not self._whole and (move.step, move.epoch) == (step, epoch)
            case FailureMet():
                return not self._whole and self._runs(state)
            case _:
                return False

    def _runs(self, state: Execution) -> bool:
        run = state.runs.get(self._address.step)
        return run is not None and run.epoch == self._address.epoch

    def _taken(self, state: Execution, offset: int) -> Parting:
        past = past_of(state, None if self._whole else _anew(state, self._address))
        return Parting(
            execution=state.id, source=state.request, offset=offset, address=self._address, past=past
        )


def _anew(state: Execution, address: Address) -> BlockId:
    """The iteration that begins anew. Raises InvalidRequest if it cannot."""
    run = state.runs[address.step]
    key = BlockId(address.step, run.epoch, iteration(run, address))
    stands = standing(state, run, key)
    if stands in ("unknown", "ahead"):
        raise InvalidRequest(f"'{address}' never began; fork the step: --from '{address.step}'")
    if stands in ("failed", "succeeded") and not can_reopen(run, key.iteration):
        raise InvalidRequest(
            f"what '{address}' was about is not kept: its loop finds its iterations as it goes; "
            f"fork the step: --from '{address.step}'"
        )
    return key


def _elsewhere(now: Execution, address: Address) -> str:
    """Why the moment is not in this execution's log: it is itself a fork, and that was before."""
    source = now.request.fork.execution if now.request.fork is not None else now.id
    return (
        f"'{address}' is older than execution {now.id}, which was forked from {source}; "
        f"fork that one: noetl-stream fork {source} --from '{address}'"
    )
