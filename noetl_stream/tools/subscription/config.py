"""What the subscription task takes: whose messages, how many of them, and when they are acknowledged."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field, model_validator

from noetl_stream.tools.config import Config


class SubscriptionConfig(Config):
    source: Literal["kafka", "nats", "pubsub", "sqs", "servicebus", "amqp", "mqtt"] = Field(
        description="`kafka` or `nats`; the others are known, and not in this version"
    )
    operation: Literal["poll", "ack", "nack"] = Field(
        "poll",
        validation_alias=AliasChoices("operation", "action"),
        description="`poll` reads; `ack` says that messages are done with; `nack` that they shall come again",
    )
    topic: str | None = Field(None, description="kafka: the topic")
    group: str | None = Field(None, description="kafka: the group whose offsets count")
    subscription: str | None = Field(None, description="pubsub: its name")
    stream: str | None = Field(None, description="nats: the stream")
    consumer: str | None = Field(None, description="nats: the durable pull consumer")
    batch: int = Field(
        100,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("batch", "max_messages"),
        description="so many at most",
    )
    timeout_ms: int = Field(5000, ge=1, description="what has come by then is the result")
    ack: bool = Field(
        False,
        description="poll: acknowledge at once what was read; by default `operation: ack` does it later",
    )
    ids: list[Any] = Field(
        default_factory=list,
        validation_alias=AliasChoices("ids", "messages"),
        description="ack, nack: the messages of a poll, or their ids",
    )

    @model_validator(mode="after")
    def _whole(self) -> SubscriptionConfig:
        needed = {"kafka": ("topic", "group"), "nats": ("stream", "consumer")}.get(self.source, ())
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"`source: {self.source}` needs a `{name}`")
        return self
