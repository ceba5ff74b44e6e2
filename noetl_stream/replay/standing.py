"""What the log says of all executions at once: what those that live still need, and how long results of the others are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from noetl_stream.core.events import ExecutionEnded, ExecutionStarted
from noetl_stream.core.partition import Partition
from noetl_stream.core.values import Elsewhere, Ref
from noetl_stream.ports.log import Reader
from noetl_stream.replay.telling import Told, tell_all
from noetl_stream.wire.topics import Topics

RESULTS = ("results", "all")
"""Under which names a playbook says how long results are kept."""


@dataclass(slots=True)
class Standing:
    """The references that live executions hold, and from when on (seconds) an ended one's results may go."""

    held: list[Ref] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    until: dict[int, float] = field(default_factory=dict)
    _kept: dict[int, float] = field(default_factory=dict)

    def tell(self, told: Told) -> None:
        """One record that was folded."""
        for move in told.folded.moves:
            match move:
                case ExecutionStarted(retain=retain):
                    if lengths := [retain[name] for name in RESULTS if name in retain]:
                        self._kept[told.machine] = lengths[0]
                case ExecutionEnded() if told.machine in self._kept:
                    self.until[told.machine] = told.at + self._kept.pop(told.machine)


async def standing(reader: Reader, topics: Topics) -> Standing:
    """Folds every partition to its present end."""
    found = Standing()
    for number in range(topics.events.partitions):
        state = Partition()
        async for told in tell_all(reader, topics, number, state):
            found.tell(told)
        found.live |= state.machines.keys()
        found.held += refs_in(state.machines)
    return found


def refs_in(value: Any) -> Iterator[Ref]:
    """Every reference in a state, those that hide in others' parts too. Text that names one counts."""
    match value:
        case str() if value.startswith("cache:"):
            yield Ref(uri=value, bytes=0, sha256="", format="json" if value.endswith(".json") else "arrow")
        case Elsewhere(name=name):
            yield Ref(uri=name, bytes=0, sha256="", format="chunks")
        case Mapping():
            yield from _in_each(value.values())
        case list() | tuple():
            yield from _in_each(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            yield from (value,) if isinstance(value, Ref) else ()
            yield from _in_each(getattr(value, each.name) for each in fields(value) if each.name != "uri")


def _in_each(values: Iterable[Any]) -> Iterator[Ref]:
    return (ref for value in values for ref in refs_in(value))
