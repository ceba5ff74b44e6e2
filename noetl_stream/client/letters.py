"""Dead letters: those that stand, and asking again for what was refused, under the identity that it had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from noetl_stream.client.installation import Installation
from noetl_stream.core.events import ExecutionRequested
from noetl_stream.errors import InvalidRequest
from noetl_stream.ids import execution_id, keyed_request, partition_of, positioned_request
from noetl_stream.intake import parse
from noetl_stream.replay.telling import decoded
from noetl_stream.wire.letters import (
    ORIGIN_OFFSET,
    ORIGIN_PARTITION,
    ORIGIN_TOPIC,
    REDRIVEN,
    Letter,
    letter_of,
    redriven_by,
)

Fate: TypeAlias = Literal["redriven", "done", "not a request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """What became of a letter, or would: asked again, done already under its identity, or nothing that can be asked."""

    letter: Letter
    fate: Fate
    execution: int | None = None
    note: str | None = None


async def letters(installation: Installation) -> list[Letter]:
    """All that stand, oldest first; what was set aside twice, after a crash, once."""
    found: dict[tuple[str, int, int], Letter] = {}
    again: set[int] = set()
    async for each in _records(installation):
        if isinstance(each, int):
            again.add(each)
        else:
            found.setdefault(each.origin, each)
    return [replace(each, redriven=each.offset in again) for each in found.values()]


async def _records(installation: Installation) -> AsyncIterator[Letter | int]:
    """Every letter, and the offsets of those that were asked again."""
    topic, reader = installation.topics.dead_letters.name, installation.reader
    start, stop = await reader.begin(topic, 0), await reader.end(topic, 0)
    async for record in reader.read(topic, 0, start, stop):
        if (letter := letter_of(record)) is not None:
            yield letter
        elif (again := redriven_by(record)) is not None:
            yield again


async def redrive(installation: Installation, chosen: Iterable[Letter], *, dry: bool) -> list[Redrive]:
    """Ask again for each, unless the log has an execution of its identity, however old. `dry` only says what would be.

    A crash on the way may leave some asked again and not noted: they keep their identity, and can be asked once more.
    """
    planned = [_planned(installation, letter) for letter in chosen]
    done = await _requested(installation, [each.execution for each in planned if each.execution is not None])
    fates = [replace(each, fate="done") if each.execution in done else each for each in planned]
    for each in [] if dry else fates:
        if each.fate == "redriven":
            await _ask_again(installation, each.letter)
    return fates


def _planned(installation: Installation, letter: Letter) -> Redrive:
    """What asking again would start."""
    if letter.origin.topic != installation.topics.requests.name:
        note = (
            "only requests are asked again; what follows from the log is sent again by the partition's owner"
        )
        return Redrive(letter=letter, fate="not a request", note=note)
    try:
        request = parse(letter.value or b"")
    except InvalidRequest as error:
        return Redrive(letter=letter, fate="not a request", note=str(error))
    key, first = request.idempotency_key, letter.first
    hashed = (
        positioned_request(first.topic, 0, first.partition, first.offset)
        if key is None
        else keyed_request(installation.settings.tenant, request.playbook, key)
    )
    return Redrive(letter=letter, fate="redriven", execution=execution_id(hashed))


async def _requested(installation: Installation, executions: Iterable[int]) -> set[int]:
    """Those of them that the event log has a request of. Each partition concerned is read once, from its beginning."""
    topic, reader = installation.topics.events, installation.reader
    wanted, found = defaultdict[int, set[bytes]](set), set[int]()
    for execution in executions:
        wanted[partition_of(execution, topic.partitions)].add(str(execution).encode())
    for partition, keys in wanted.items():
        stop = await reader.end(topic.name, partition)
        async for record in reader.read(topic.name, partition, 0, stop):
            if record.key in keys and isinstance(decoded(record), ExecutionRequested):
                found.add(int(record.key or b"0"))
    return found


async def _ask_again(installation: Installation, letter: Letter) -> None:
    """The record as it was, and then the note that it was sent: never the note alone."""
    mark, first = {REDRIVEN: str(letter.offset)}, letter.first
    place = {
        ORIGIN_TOPIC: first.topic,
        ORIGIN_PARTITION: str(first.partition),
        ORIGIN_OFFSET: str(first.offset),
    }
    ours = [(name, text.encode()) for name, text in (mark | place).items()]
    await installation.log.append(
        first.topic, letter.value, key=letter.key, partition=first.partition, headers=[*letter.headers, *ours]
    )
    await installation.log.append(installation.topics.dead_letters.name, b"", partition=0, headers=mark)
