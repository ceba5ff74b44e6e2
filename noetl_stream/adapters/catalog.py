"""The catalog on Kafka: a copy in memory of every registration, kept in step by a tail without a group."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from hashlib import sha256

from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.adapters.versions import Entry, Versions
from noetl_stream.core.plan import Plan
from noetl_stream.errors import InfrastructureError, InvalidRequest, UndecodableRecord
from noetl_stream.ports.log import Record
from noetl_stream.wire import records
from noetl_stream.wire.codec import decode, encode, expect
from noetl_stream.wire.records import PlaybookRegistered

__all__ = ["Entry", "KafkaCatalog"]

_log = logging.getLogger(__name__)


class KafkaCatalog:
    """Registers playbooks and finds them again, compiled. Open it with `KafkaCatalog.open`."""

    def __init__(
        self,
        appender: KafkaAppender,
        reader: KafkaReader,
        topic: str,
        compile: Callable[[Entry], Plan],
        decode: Callable[[bytes], records.Record] = decode,
    ) -> None:
        self._appender, self._reader, self._topic = appender, reader, topic
        self._compile, self._decode = compile, decode
        self._versions = Versions()
        self._plans: dict[Entry, Plan] = {}
        self._position, self._vain = 0, -1
        self._moved = asyncio.Event()
        self._tail: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        appender: KafkaAppender,
        reader: KafkaReader,
        topic: str,
        compile: Callable[[Entry], Plan],
        *,
        decode: Callable[[bytes], records.Record] = decode,
    ) -> KafkaCatalog:
        """Read the whole catalog, then go on following it. Raises InfrastructureError, or UnknownSchema."""
        catalog = cls(appender, reader, topic, compile, decode)
        await catalog.catch_up()
        catalog._tail = asyncio.create_task(catalog._follow(), name="noetl-catalog")
        catalog._tail.add_done_callback(lambda _: catalog._moved.set())
        return catalog

    async def register(
        self,
        path: str,
        text: str,
        *,
        actor: str | None = None,
        labels: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> tuple[int, int]:
        """The text's (version, offset). If the path's newest version has this text, nothing is appended.

        Raises like `Appender.append`. Whether the text compiles is for the caller to ask first.
        """
        await self.catch_up()
        digest = sha256(text.encode()).hexdigest()
        entry = self.lookup(path)
        if entry is None or entry.digest != digest:
            registered = PlaybookRegistered(
                path=path, text=text, digest=digest, time=now(), actor=actor, labels=labels or {}
            )
            offset = await self._appender.append(
                self._topic, encode(registered), key=path.encode(), partition=0
            )
            await self.catch_up()
            # Somebody's equal registration may have come in between: then theirs is the version.
            entry = self._versions.standing_at(path, offset)
        return entry.version, entry.offset

    def lookup(self, path: str, version: int | None = None) -> Entry | None:
        """A version of a path, the newest unless told. What was registered just now may not be there yet."""
        return self._versions.lookup(path, version)

    def by_digest(self, digest: str) -> Entry | None:
        """The first version, of whatever path, with this text."""
        return self._versions.by_digest(digest)

    def paths(self) -> tuple[str, ...]:
        """Every registered path, in order of first registration."""
        return self._versions.paths()

    def plan(self, entry: Entry) -> Plan:
        """The version compiled, once for each catalog. Raises what `compile` raises."""
        if entry not in self._plans:
            self._plans[entry] = self._compile(entry)
        return self._plans[entry]

    async def catch_up(self) -> None:
        """Read everything registered by now. Raises InfrastructureError if the broker does not give it."""
        end = await self._reader.end(self._topic, 0)
        start = max(self._position, await self._reader.begin(self._topic, 0))
        async for record in self._reader.read(self._topic, 0, start, end):
            self._take(record)
        self._move_to(end)

    async def wait_for(self, offset: int, timeout: float = 30.0) -> None:
        """Wait until the record at `offset` has been read.

        Raises InvalidRequest if the topic has no such record after `timeout` seconds, or at once where that was waited for
        in vain before; InfrastructureError if it has, or whatever ended the tail (UnknownSchema, a lost broker).
        """
        if self._position == self._vain <= offset:
            await self._check_end(offset)
        try:
            async with asyncio.timeout(timeout):
                while self._position <= offset:
                    self._check_tail()
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            self._vain = self._position
            await self._check_end(offset)
            raise InfrastructureError(
                f"the catalog stands at offset {self._position} of {self._topic} and has not reached {offset} "
                f"within {timeout:g} s; is the broker well?"
            ) from error

    async def _check_end(self, offset: int) -> None:
        """Raises InvalidRequest for an offset that the topic does not reach: nobody pins what is not yet registered."""
        end = await self._reader.end(self._topic, 0)
        if end <= offset:
            raise InvalidRequest(
                f"{self._topic} ends at offset {end}, and the playbook was pinned at {offset}: was the topic recreated? "
                "register the playbook, and ask again with another key"
            )

    async def close(self) -> None:
        """Stop following. Whoever waits is told."""
        if self._tail is not None:
            self._tail.cancel()
            await asyncio.wait([self._tail])

    def _check_tail(self) -> None:
        if self._tail is None or self._tail.cancelled():
            raise InfrastructureError("the catalog is closed; open it again to go on")
        if self._tail.done():
            self._tail.result()

    async def _follow(self) -> None:
        async with aclosing(self._reader.read(self._topic, 0, self._position)) as tail:
            async for record in tail:
                self._take(record)

    def _take(self, record: Record) -> None:
        """Fold a record, once: the tail and `catch_up` read the same ones, each in log order."""
        if record.offset < self._position:
            return
        try:
            registered = expect(PlaybookRegistered, self._decode(record.value or b""))
        except UndecodableRecord as error:
            # It is unreadable for every reader alike, so it takes no version from anybody.
            _log.warning("%s[0] offset %d registers nothing: %s", record.topic, record.offset, error)
        else:
            self._versions.fold(registered, record.offset)
        self._move_to(record.offset + 1)

    def _move_to(self, position: int) -> None:
        if position > self._position:
            self._position = position
            self._moved.set()
