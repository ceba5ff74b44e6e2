"""Delivers what an owner's outbox holds. False means that the sender must send it again, though it may have arrived."""

from __future__ import annotations

from typing import assert_never

from noetl_stream.core.events import (
    CancelRequested,
    ChildEnded,
    Decision,
    ExecutionEnded,
    ExecutionRequested,
)
from noetl_stream.core.messages import (
    CancelExecution,
    Message,
    NotifyParent,
    Offer,
    Reply,
    ReplyAgain,
    StartChild,
    StopBlocks,
    StoreChunk,
)
from noetl_stream.ids import execution_id
from tests.simulation.world import World


def deliver(world: World, message: Message, who: str) -> bool:
    if world.chance("drop"):
        return False
    return _deliver(world, message, who) and not world.chance("lost_ack")


def _deliver(world: World, message: Message, who: str) -> bool:
    match message:
        case Offer():
            world.blocks.put(message)
            world.note(
                f"{who}: offers {message.execution % 1000:03}",
                (message.block, message.attempt, message.segment),
            )
        case StartChild():
            return _start(world, message, who)
        case NotifyParent():
            return _notify(world, message, who)
        case CancelExecution():
            machine = execution_id(bytes.fromhex(message.identity))
            return (
                world.append(machine, CancelRequested(time=world.now, reason=message.reason), who) is not None
            )
        case Reply():
            world.outside.replies[message.execution].append(message.status)
        case ReplyAgain():
            world.outside.replies[message.execution].append(ended_at(world, message.offset))
        case StopBlocks():
            if message.block is None:
                world.outside.stopped.add(message.execution)
        case StoreChunk():
            _store(world, message)
        case _:
            assert_never(message)
    return True


def _start(world: World, message: StartChild, who: str) -> bool:
    child = message.child
    request = ExecutionRequested(
        identity=child.identity,
        path=child.path,
        version=1,
        digest="",
        catalog_offset=0,
        payload=child.input,
        seed=message.seed,
        time=world.now,
        parent=message.parent if child.wait else None,
        return_step=child.return_step,
        deadline=message.deadline,
    )
    machine = execution_id(bytes.fromhex(child.identity))
    if world.append(machine, request, who) is None:
        return False
    return child.wait or _started(world, message, machine, who)


def _started(world: World, message: StartChild, child: int, who: str) -> bool:
    """Nobody waits for it: its parent's block goes on at once."""
    parent = message.parent
    event = ChildEnded(
        block=parent.block,
        attempt=parent.attempt,
        segment=parent.segment,
        child=child,
        status="STARTED",
        time=world.now,
    )
    return world.append(parent.execution, event, who) is not None


def _notify(world: World, message: NotifyParent, who: str) -> bool:
    parent = message.parent
    event = ChildEnded(
        block=parent.block,
        attempt=parent.attempt,
        segment=parent.segment,
        child=message.child,
        status=message.status,
        time=world.now,
        result=message.result,
        error=message.error,
    )
    return world.append(parent.execution, event, who) is not None


def _store(world: World, message: StoreChunk) -> None:
    """Immutable: a name that is written again must hold the same."""
    kept = world.outside.store.setdefault(message.name, message.results)
    if kept != message.results:
        world.broken.append(f"chunk differs: {message.name}")


def ended_at(world: World, offset: int) -> str:
    """The status that the log holds at the offset a repeated request is answered from."""
    event = world.log[offset].event
    moves = event.moves if isinstance(event, Decision) else ()
    return next((move.status for move in moves if isinstance(move, ExecutionEnded)), "no end there")
