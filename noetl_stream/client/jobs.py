"""Asking for an execution and following it through the log, wherever its workers are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Final

from noetl_stream.core.lanes import Priority
from noetl_stream.core.report import Story
from noetl_stream.core.values import Value
from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.ids import execution_id, keyed_request
from noetl_stream.ports.log import Appender, Reader
from noetl_stream.replay.telling import Told, tell
from noetl_stream.wire.letters import REASON
from noetl_stream.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What else a request may say; docs/requests.md tells each. `deadline` is seconds since the epoch."""

    priority: Priority | None = None
    deadline: float | None = None
    reply_to: str | None = None
    correlation: str | None = None
    trace: str | None = None


NO_OPTIONS: Final = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: a registered path, its payload, and the key that makes asking twice one execution."""

    path: str
    payload: Mapping[str, Value]
    key: str
    version: int | None = None
    tenant: str = "default"
    options: Options = NO_OPTIONS

    @property
    def execution(self) -> int:
        """The id of the execution that this starts, or has started."""
        return execution_id(keyed_request(self.tenant, self.path, self.key))

    def request(self) -> bytes:
        """The record for the request topic."""
        asked: dict[str, Value] = {
            "playbook": self.path,
            "version": self.version,
            "payload": dict(self.payload),
            "idempotency_key": self.key,
            **asdict(self.options),
        }
        return json.dumps({key: each for key, each in asked.items() if each is not None}).encode()


async def ask(log: Appender, topics: Topics, job: Job) -> None:
    """Produce the request, as any service would."""
    await log.append(topics.requests.name, job.request(), key=job.key.encode())


async def ask_and_follow(
    log: Appender,
    reader: Reader,
    topics: Topics,
    job: Job,
    *,
    timeout: float | None,
    watch: Callable[[Told], None],
    durable: bool = True,
) -> Story:
    """Ask, and return the story of the job's execution once it has ended; `watch` is told every record.

    `durable` says whether the execution goes on where its log is kept when nobody follows it any more.

    Raises InvalidRequest if intake refuses it, InfrastructureError if it has not ended after `timeout` seconds.
    """
    letters = await reader.end(topics.dead_letters.name, 0)
    await ask(log, topics, job)
    return await ended(reader, topics, job, letters, timeout=timeout, watch=watch, durable=durable)


async def ended(
    reader: Reader,
    topics: Topics,
    job: Job,
    letters: int,
    *,
    timeout: float | None,
    watch: Callable[[Told], None],
    durable: bool = True,
) -> Story:
    """The same for a job that was asked for when the dead letters ended at `letters`. Raises as `ask_and_follow` does."""
    refused = asyncio.create_task(_refusal(reader, topics, job, letters))
    finished = asyncio.create_task(_story(reader, topics, job.execution, watch))
    try:
        done, _ = await asyncio.wait(
            (refused, finished), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        # Cancelling what has ended changes nothing.
        refused.cancel()
        finished.cancel()
        await asyncio.wait((refused, finished))
    if finished in done:
        return finished.result()
    if refused in done:
        raise InvalidRequest(refused.result())
    raise _unended(job.execution, timeout, durable=durable)


async def follow(
    reader: Reader, topics: Topics, execution: int, *, timeout: float | None, watch: Callable[[Told], None]
) -> Story:
    """The story of an execution once it has ended. Raises InfrastructureError if it has not after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await _story(reader, topics, execution, watch)
    except TimeoutError:
        raise _unended(execution, timeout, durable=True) from None


def _unended(execution: int, timeout: float | None, *, durable: bool) -> InfrastructureError:
    advice = f"it goes on: see `noetl-stream status {execution}`" if durable else "raise --timeout"
    return InfrastructureError(f"execution {execution} has not ended within {timeout:g} s; {advice}")


async def _story(reader: Reader, topics: Topics, execution: int, watch: Callable[[Told], None]) -> Story:
    story = Story()
    async with aclosing(tell(reader, topics, execution)) as telling:
        async for told in telling:
            story.tell(told.event, told.folded, told.at)
            watch(told)
            if story.end is not None:
                break
    return story


async def _refusal(reader: Reader, topics: Topics, job: Job, start: int) -> str:
    """Why intake set the request aside, if it does."""
    async for letter in reader.read(topics.dead_letters.name, 0, start, None):
        if letter.key == job.key.encode() and letter.value == job.request():
            return dict(letter.headers)[REASON].decode()
    raise InfrastructureError(f"{topics.dead_letters.name} came to an end, which a tail never does")
