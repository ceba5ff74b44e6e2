"""Which executions have failed since a moment, from the log."""

from __future__ import annotations

from noetl_stream.core.events import Decision, ExecutionEnded
from noetl_stream.core.partition import Folded, Partition, evolve
from noetl_stream.core.values import Value
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import decoded
from noetl_stream.wire.topics import Topics


async def failed_since(reader: Reader, topics: Topics, moment: float) -> list[dict[str, Value]]:
    """`{execution_id, playbook, step, kind, message}` of each, in the order of their ends; `moment` is in seconds.

    Folds every partition to its present end, since only the fold tells which decisions counted.
    """
    found: list[tuple[float, dict[str, Value]]] = []
    for number in range(topics.events.partitions):
        state, end = Partition(), await reader.end(topics.events.name, number)
        async for record in reader.read(topics.events.name, number, 0, end):
            event, machine = decoded(record), int(record.key or 0)
            if event is None:
                continue
            folded = evolve(state, machine, event, record.offset)
            if isinstance(event, Decision) and event.at >= moment:
                found += [(event.at, each) for each in _failed(machine, folded)]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _failed(execution: int, folded: Folded) -> list[dict[str, Value]]:
    ends = (move for move in folded.moves if isinstance(move, ExecutionEnded) and move.status == "FAILED")
    return [
        {
            "execution_id": str(execution),
            "playbook": folded.machine.request.path if folded.machine else None,
            "step": end.error.step if end.error else None,
            "kind": end.error.kind if end.error else None,
            "message": end.error.message if end.error else None,
        }
        for end in ends
    ]
