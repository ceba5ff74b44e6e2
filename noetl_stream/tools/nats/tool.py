"""The nats tool: keys and values in JetStream's buckets, messages published, and requests that are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import orjson
from pydantic import AliasChoices, BaseModel, Field, model_validator

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.http.body import parsed
from noetl_stream.tools.running_time import running_time

if TYPE_CHECKING:
    from nats.aio.client import Client

_KEYS: Final = ("get", "put", "delete", "keys")


class NatsConfig(Config):
    operation: Literal["get", "put", "delete", "keys", "publish", "request"] = Field(
        validation_alias=AliasChoices("operation", "action"),
        description="of a bucket `get`, `put`, `delete`, `keys`; of a subject `publish`, `request`",
    )
    bucket: str | None = Field(None, description="the bucket of keys and values")
    key: str | None = Field(None, description="the key; for `keys` a filter such as `orders.>`")
    value: Any = Field(
        None,
        validation_alias=AliasChoices("value", "data", "payload", "message"),
        description="what is put, published or asked: text as it is, anything else as JSON",
    )
    revision: int | None = Field(
        None,
        ge=0,
        description="put: only over this revision; 0: only if there is none. The same value again is no error",
    )
    limit: int = Field(1000, ge=1, le=100_000, description="keys: so many at most")
    subject: str | None = Field(None, description="where a message goes")
    headers: dict[str, Any] = Field(default_factory=dict, description="of a message; nulls are dropped")
    jetstream: bool = Field(
        True,
        description="publish: into a stream, acknowledged, and once for each effect; false: to whoever listens now",
    )
    reply_seconds: float = Field(10.0, gt=0, description="request: so long an answer is waited for")

    @model_validator(mode="after")
    def _whole(self) -> NatsConfig:
        if self.operation in _KEYS and not self.bucket:
            raise ValueError(f"{self.operation} needs a `bucket`")
        if self.operation in ("get", "put", "delete") and not self.key:
            raise ValueError(f"{self.operation} needs a `key`")
        if self.operation not in _KEYS and not self.subject:
            raise ValueError(f"{self.operation} needs a `subject`")
        return self


class Nats:
    """`kind: nats`."""

    kind: ClassVar[str] = "nats"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = NatsConfig

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private

    async def run(self, call: Call) -> Done:
        # The client is an extra, and loaded by the first task.
        from noetl_stream.tools.nats.client import connected

        async with (
            running_time(self.kind, call.timeout),
            connected(call, allow_private=self._allow_private) as client,
        ):
            match call.config.operation:
                case "publish":
                    return Done(value=await _publish(client, call))
                case "request":
                    return Done(value=await _request(client, call.config))
                case _:
                    return Done(value=await _of_bucket(client, call.config))

    async def close(self) -> None:
        """Each call closes its own connection."""


async def _of_bucket(client: Client, config: NatsConfig) -> dict[str, Any]:
    bucket = await client.jetstream().key_value(str(config.bucket))
    key, named = str(config.key), {"bucket": config.bucket}
    match config.operation:
        case "get":
            entry = await bucket.get(key)
            return {**named, "key": key, "value": _value(entry.value), "revision": entry.revision}
        case "put":
            return {**named, "key": key, "revision": await _put(bucket, key, config)}
        case "delete":
            await bucket.delete(key)
            return {**named, "key": key, "deleted": True}
        case _:
            return {**named, **await _keys(bucket, config)}


async def _put(bucket: Any, key: str, config: NatsConfig) -> int:
    from nats.js.errors import KeyWrongLastSequenceError

    content = _content(config.value)
    if config.revision is None:
        return int(await bucket.put(key, content))
    try:
        if config.revision == 0:
            return int(await bucket.create(key, content))
        return int(await bucket.update(key, content, last=config.revision))
    except KeyWrongLastSequenceError:
        # An earlier try of ours whose answer got lost finds itself here.
        entry = await bucket.get(key)
        if entry.value != content:
            raise
        return int(entry.revision)


async def _keys(bucket: Any, config: NatsConfig) -> dict[str, Any]:
    """Watched rather than listed: servers before 2.10 filter no list, and no more keys come than are asked for."""
    found: list[str] = []
    watcher = await bucket.watch(config.key or ">", ignore_deletes=True, meta_only=True)
    while len(found) <= config.limit and (entry := await watcher.updates()) is not None:
        found.append(entry.key)
    await watcher.stop()
    shown = sorted(found[: config.limit])
    return {"keys": shown, "count": len(shown), "truncated": len(found) > config.limit}


async def _publish(client: Client, call: Call) -> dict[str, Any]:
    config: NatsConfig = call.config
    subject, content, headers = str(config.subject), _content(config.value), _headers(config)
    if not config.jetstream:
        await client.publish(subject, content, headers=headers or None)
        await client.flush()
        return {"subject": subject}
    # The stream keeps the ids of the last two minutes, or as long as it is configured to.
    headers.setdefault("Nats-Msg-Id", call.effect_key)
    ack = await client.jetstream().publish(subject, content, headers=headers)
    return {"subject": subject, "stream": ack.stream, "sequence": ack.seq, "duplicate": bool(ack.duplicate)}


async def _request(client: Client, config: NatsConfig) -> dict[str, Any]:
    answer = await client.request(
        str(config.subject),
        _content(config.value),
        timeout=config.reply_seconds,
        headers=_headers(config) or None,
    )
    return {"subject": answer.subject, "data": _value(answer.data), "headers": dict(answer.headers or {})}


def _headers(config: NatsConfig) -> dict[str, Any]:
    return {name: str(value) for name, value in config.headers.items() if value is not None}


def _content(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return b"" if value is None else orjson.dumps(value, default=str)
    except TypeError as error:
        raise ToolError(
            f"the value is not JSON ({error}); give it JSON or text", kind="validation"
        ) from error


def _value(content: bytes | None) -> Value:
    """A JSON mapping or list, else text, else base64 text."""
    return parsed(content or b"", "", "utf-8")
