"""Which executions have failed since a moment, from the log."""

from __future__ import annotations

from noetl_stream.core.events import ExecutionEnded
from noetl_stream.core.partition import Partition
from noetl_stream.core.values import Value
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import Told, tell_all
from noetl_stream.wire.topics import Topics


async def failed_since(reader: Reader, topics: Topics, moment: float) -> list[dict[str, Value]]:
    """`{execution_id, playbook, step, kind, message}` of each, in the order of their ends; `moment` is in seconds.

    Folds every partition to its present end, since only the fold tells which decisions counted.
    """
    found: list[tuple[float, dict[str, Value]]] = []
    for number in range(topics.events.partitions):
        async for told in tell_all(reader, topics, number, Partition()):
            if told.at >= moment:
                found += [(told.at, each) for each in _failed(told)]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _failed(told: Told) -> list[dict[str, Value]]:
    machine, moves = told.folded.machine, told.folded.moves
    ends = (move for move in moves if isinstance(move, ExecutionEnded) and move.status == "FAILED")
    return [
        {
            "execution_id": str(told.machine),
            "playbook": machine.request.path if machine else None,
            "step": end.error.step if end.error else None,
            "kind": end.error.kind if end.error else None,
            "message": end.error.message if end.error else None,
        }
        for end in ends
    ]
