"""The event log on Kafka: appends in the order of the calls, honest about an unknown fate; reads by offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidMessageError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedForMessageFormatError,
)

from noetl_stream.adapters.connection import (
    CLOSING_SECONDS,
    REQUEST_TIMEOUT_MS,
    start,
    stop_consumer,
    stop_producer,
)
from noetl_stream.adapters.security import OPEN, Security
from noetl_stream.errors import AppendUnknown, InfrastructureError
from noetl_stream.ports.log import Record

Headers: TypeAlias = Mapping[str, str] | Sequence[tuple[str, bytes]]

_REFUSALS = (
    InvalidMessageError,
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
)
"""A broker answers these instead of appending. Any other failure may follow an attempt that it carried out."""

_HARMLESS = (MessageSizeTooLargeError, UnknownTopicOrPartitionError)
"""Raised before a record gets its sequence number: the producer can go on."""

_BATCH_BYTES = 256 * 1024
_FETCH_BYTES = 4 * 1024 * 1024
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Append:
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    offset: asyncio.Future[int]


class KafkaAppender:
    """One idempotent producer behind a queue. Implements `ports.log.Appender`; open it with `KafkaAppender.open`.

    `timeout` (seconds) bounds the wait for an acknowledgement. After it the record's fate is unknown: the producer
    goes on trying to deliver it for as long as this appender is open.
    """

    def __init__(
        self, bootstrap: str, *, timeout: float = 30.0, client_id: str = "noetl", security: Security = OPEN
    ) -> None:
        self._bootstrap, self._timeout, self._client_id = bootstrap, timeout, client_id
        self._security = security
        self._queue: asyncio.Queue[_Append] = asyncio.Queue()
        self._outstanding: dict[asyncio.Future[int], Literal["queued", "sent"]] = {}
        self._broken = self._closed = False
        self._producer: Any = None
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, bootstrap: str, *, timeout: float = 30.0, client_id: str = "noetl", security: Security = OPEN
    ) -> KafkaAppender:
        """Connect. Raises InfrastructureError if no broker answers within `timeout`."""
        appender = cls(bootstrap, timeout=timeout, client_id=client_id, security=security)
        appender._producer = await appender._start_producer()
        appender._pump = asyncio.create_task(appender._send_queued(), name="noetl-appender")
        return appender

    async def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> int:
        """The offset at which the record now stands, on every in-sync replica.

        Raises AppendUnknown if it may or may not stand there, InfrastructureError if it certainly does not.
        """
        return await self.append_soon(topic, value, key=key, partition=partition, headers=headers)

    def append_soon(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> asyncio.Future[int]:
        """As `append`, without waiting: records land in the order of the calls, many in flight at once."""
        loop = asyncio.get_running_loop()
        offset: asyncio.Future[int] = loop.create_future()
        if self._closed:
            offset.set_exception(InfrastructureError("the appender is closed; open another to go on"))
            return offset
        self._outstanding[offset] = "queued"
        expiry = loop.call_later(self._timeout, self._expire, offset, topic)
        offset.add_done_callback(partial(self._forget, expiry))
        self._queue.put_nowait(_Append(topic, partition, key, value, _raw(headers or ()), offset))
        return offset

    async def close(self) -> None:
        """Wait until every append is settled, for a few seconds, and disconnect; what is then unsettled fails."""
        self._closed = True
        if self._outstanding:
            await asyncio.wait(self._outstanding, timeout=min(self._timeout, CLOSING_SECONDS))
        for offset in list(self._outstanding):
            self._give_up(offset, "no acknowledgement before the appender was closed")
        if self._pump is not None:
            self._pump.cancel()
        await stop_producer(self._producer)

    async def _send_queued(self) -> None:
        while True:
            append = await self._queue.get()
            while self._broken and not append.offset.done():
                await self._replace_producer()
            if not append.offset.done():
                await self._send(append)

    async def _send(self, append: _Append) -> None:
        self._outstanding[append.offset] = "sent"
        try:
            delivery = await self._producer.send(
                append.topic, append.value, append.key, append.partition, headers=append.headers
            )
        except Exception as error:  # aiokafka asserts what it does not check: nothing may end the pump
            self._broken |= isinstance(error, KafkaError) and not isinstance(error, _HARMLESS)
            _fail(append.offset, InfrastructureError(_sentence(append, error)), error)
        else:
            delivery.add_done_callback(partial(self._settle, append))

    def _settle(self, append: _Append, delivery: asyncio.Future[Any]) -> None:
        error = delivery.exception()
        if error is not None:
            self._broken = True
            kind = InfrastructureError if isinstance(error, _REFUSALS) else AppendUnknown
            _fail(append.offset, kind(_sentence(append, error)), error)
        elif (offset := delivery.result().offset) < 0:
            _fail(
                append.offset, AppendUnknown(f"{append.topic}: it was appended before, at an unknown offset")
            )
        elif not append.offset.done():
            append.offset.set_result(offset)

    def _expire(self, offset: asyncio.Future[int], topic: str) -> None:
        self._give_up(offset, f"{topic}: no acknowledgement within {self._timeout:g} s")

    def _give_up(self, offset: asyncio.Future[int], waited: str) -> None:
        if self._outstanding[offset] == "sent":
            _fail(offset, AppendUnknown(f"{waited}; repeat it byte for byte, or read it back"))
        else:
            _fail(offset, InfrastructureError(f"{waited}, and it was never sent; is the broker reachable?"))

    def _forget(self, expiry: asyncio.TimerHandle, offset: asyncio.Future[int]) -> None:
        expiry.cancel()
        del self._outstanding[offset]

    async def _replace_producer(self) -> None:
        """After a refusal the broker misses a sequence number, and would refuse whatever this producer sends next.

        What is in flight is awaited first: a new producer's records must not overtake it.
        """
        if sent := [offset for offset, state in self._outstanding.items() if state == "sent"]:
            await asyncio.wait(sent)
        await stop_producer(self._producer)
        try:
            self._producer = await self._start_producer()
            self._broken = False
        except InfrastructureError:
            await asyncio.sleep(_RETRY_SECONDS)

    async def _start_producer(self) -> Any:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **self._security.options(),
        )
        await start(producer, self._bootstrap, self._timeout, self._security)
        return producer


class KafkaReader:
    """Reads by offset without a consumer group. Implements `ports.log.Reader`.

    Connections are opened as reads need them, and kept for the next. `timeout` (seconds) bounds every wait for an
    answer; InfrastructureError follows it. An offset that retention has removed raises InfrastructureError too.
    """

    def __init__(
        self, bootstrap: str, *, timeout: float = 30.0, client_id: str = "noetl", security: Security = OPEN
    ) -> None:
        self._bootstrap, self._timeout, self._client_id = bootstrap, timeout, client_id
        self._security = security
        self._idle: list[Any] = []

    async def begin(self, topic: str, partition: int) -> int:
        """The first offset that the topic still holds."""
        async with self._consumer(topic) as consumer:
            found = await consumer.beginning_offsets([at := TopicPartition(topic, partition)])
            return int(found[at])

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        async with self._consumer(topic) as consumer:
            found = await consumer.end_offsets([at := TopicPartition(topic, partition)])
            return int(found[at])

    async def at_time(self, topic: str, partition: int, timestamp: int) -> int | None:
        """The first offset whose record is at or after `timestamp` (milliseconds), or None."""
        async with self._consumer(topic) as consumer:
            found = await consumer.offsets_for_times({(at := TopicPartition(topic, partition)): timestamp})
            return None if found[at] is None else int(found[at].offset)

    async def read(
        self, topic: str, partition: int, start: int, stop: int | None = None
    ) -> AsyncGenerator[Record, None]:
        """Records from `start` up to `stop`, exclusive; None tails for ever. Offsets may have gaps."""
        if stop is not None and start >= stop:
            return
        at = TopicPartition(topic, partition)
        async with self._consumer(topic) as consumer:
            consumer.assign([at])
            consumer.seek(at, start)
            while True:
                for found in await self._fetch(consumer, at, bounded=stop is not None):
                    if stop is not None and found.offset >= stop:
                        return
                    yield record_of(found)
                # Compaction leaves gaps, and may have taken the very last record before `stop`.
                if stop is not None and await consumer.position(at) >= stop:
                    return

    async def close(self) -> None:
        """Disconnect. Reads that still run keep their own connections until they end."""
        while self._idle:
            await stop_consumer(self._idle.pop())

    async def _fetch(self, consumer: Any, at: TopicPartition, *, bounded: bool) -> Sequence[Any]:
        before = await consumer.position(at)
        fetched: Sequence[Any] = (await consumer.getmany(at, timeout_ms=int(self._timeout * 1000))).get(
            at, ()
        )
        if bounded and not fetched and await consumer.position(at) == before:
            raise InfrastructureError(
                f"{at.topic}[{at.partition}] gave nothing from offset {before} in {self._timeout:g} s; "
                "is the broker well, and does the offset exist?"
            )
        return fetched

    @asynccontextmanager
    async def _consumer(self, topic: str) -> AsyncIterator[Any]:
        consumer = self._idle.pop() if self._idle else await self._start_consumer()
        try:
            yield consumer
        except OffsetOutOfRangeError as error:
            await stop_consumer(consumer)
            raise InfrastructureError(f"{topic} does not hold the offset asked for: {error}") from error
        except KafkaError as error:
            await stop_consumer(consumer)
            raise InfrastructureError(f"reading {topic} failed: {error!r}; is the broker well?") from error
        except BaseException:
            await stop_consumer(consumer)
            raise
        else:
            consumer.unsubscribe()
            self._idle.append(consumer)

    async def _start_consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **self._security.options(),
        )
        await start(consumer, self._bootstrap, self._timeout, self._security)
        return consumer


def _raw(headers: Headers) -> Sequence[tuple[str, bytes]]:
    if isinstance(headers, Mapping):
        return [(name, text.encode()) for name, text in headers.items()]
    return headers


def _sentence(append: _Append, error: BaseException) -> str:
    where = append.topic if append.partition is None else f"{append.topic}[{append.partition}]"
    if isinstance(error, UnknownTopicOrPartitionError):
        return f"appending to {where} failed: there is no such topic; `noetl-stream topics` creates what is missing"
    return f"appending to {where} failed: {error!r}"


def _fail(offset: asyncio.Future[int], error: Exception, cause: BaseException | None = None) -> None:
    if not offset.done():
        error.__cause__ = cause
        offset.set_exception(error)


def record_of(found: Any) -> Record:
    """What aiokafka's consumer gives, as ours."""
    return Record(
        topic=found.topic,
        partition=found.partition,
        offset=found.offset,
        timestamp=found.timestamp,
        key=found.key,
        value=found.value,
        headers=found.headers,
    )
