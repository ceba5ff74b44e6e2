"""A task with an `iterator` of its own: a sequential loop inside one block, taken up where it stood by a retry or after a park."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from noetl_stream.core.plan import Loop
from noetl_stream.core.scope import evaluate
from noetl_stream.core.values import Value
from noetl_stream.dsl.tasks import Task
from noetl_stream.errors import ExpressionError
from noetl_stream.worker.notes import Notes
from noetl_stream.worker.sites import Desk, Round
from noetl_stream.worker.trying import Ended, invalid


async def repeated(
    task: Task, desk: Desk, notes: Notes, once: Callable[[bool], Awaitable[Ended]], *, resumed: bool
) -> Ended:
    """Run `once` for each item, until one does not end well. The results of those before it stay in the notes."""
    assert task.repeat is not None  # only such a task is repeated
    try:
        stand = notes.rounds.setdefault(task.name, {"items": _items(task, task.repeat, desk), "results": []})
    except ExpressionError as error:
        return Ended(error=invalid(error))
    items, results = stand["items"], stand["results"]
    for index in range(len(results), len(items)):
        names = (task.repeat.iterator, "item")
        desk.round = Round(names=names, item=items[index], index=index, total=len(items))
        ended, resumed = await once(resumed), False
        if ended.error is not None or ended.wait is not None or ended.contested is not None:
            return ended
        results.append(ended.result)
        notes.next_round(task.name)
    return Ended(result=_looped(results))


def _items(task: Task, loop: Loop, desk: Desk) -> list[Value]:
    """What the task goes over. Raises ExpressionError."""
    assert loop.items is not None  # an iterator has items
    found = evaluate(loop.items, desk.scope(f"{task.name}/items"))
    return list(range(found)) if isinstance(found, int) else list(found)


def _looped(results: list[Value]) -> Value:
    """What such a task gives: the shape of a step's loop."""
    stats = {"total": len(results), "success": len(results), "failed": 0}
    return {"results": results, "data": results, "stats": stats, "count": len(results), "status": "ok"}
