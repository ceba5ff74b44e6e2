"""What the kafka task takes: a topic, what is sent there, or which part of it is read."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import AliasChoices, Field, model_validator

from noetl_stream.tools.config import Config

Format: TypeAlias = Literal["json", "avro", "text", "bytes"]


class KafkaConfig(Config):
    operation: Literal["produce", "consume"] = Field(
        validation_alias=AliasChoices("operation", "action"), description="`produce` or `consume`"
    )
    topic: str = Field(description="the topic; never one of the platform's own")
    format: Format = Field(
        "json",
        description="of values: `json`, `avro` (with `avro_schema`), `text`, or `bytes` as base64 text",
    )
    avro_schema: Any = Field(
        None, description="for `format: avro`: the schema of the values, a mapping or JSON text"
    )
    key: Any = Field(None, description="produce: the record's key; text as it is, anything else as JSON")
    value: Any = Field(
        None,
        validation_alias=AliasChoices("value", "message"),
        description="produce: one record's value; none, with a `key`, is a tombstone",
    )
    values: Any = Field(
        None,
        validation_alias=AliasChoices("values", "messages", "records"),
        description="produce: many, a table or a list; by default the input `values`",
    )
    key_field: str | None = Field(None, description="produce: the field of each value that is its key")
    headers: dict[str, Any] = Field(
        default_factory=dict, description="produce: of every record; nulls are dropped"
    )
    partition: int | None = Field(None, ge=0, description="produce: where to, whatever the key")
    partitions: list[int] | None = Field(None, description="consume: only these; by default all")
    start: Any = Field(
        "earliest",
        validation_alias=AliasChoices("start", "from"),
        description="consume: `earliest`, `latest`, a time (ISO 8601), or `{partition: offset}`",
    )
    stop: Any = Field(
        None,
        validation_alias=AliasChoices("stop", "to"),
        description="consume: up to this time or `{partition: offset}`, exclusive; by default what is there now",
    )
    max_messages: int = Field(10_000, ge=1, le=1_000_000, description="consume: so many at most")
    max_bytes: int = Field(64 << 20, ge=1, le=1 << 30, description="consume: and about so many bytes")
    timeout_ms: int = Field(10_000, ge=1, description="consume: what has come by then is the result")

    @model_validator(mode="after")
    def _whole(self) -> KafkaConfig:
        if self.format == "avro" and self.avro_schema is None:
            raise ValueError("`format: avro` needs `avro_schema`, the schema of the values")
        return self
