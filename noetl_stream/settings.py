"""Everything that a deployment may choose, and the only reader of the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from noetl_stream.wire.topics import Topics

_PREFIX = "NOETL_STREAM_"


class Settings(BaseModel):
    """Each field is set by the command line, else by `NOETL_STREAM_<FIELD>`, else by its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = Field(
        "", description="Kafka brokers as HOST:PORT, comma-separated; empty: the embedded one"
    )
    data: Path = Field(
        Path(".noetl"), description="Folder of the embedded broker's log, the cache and scratch files"
    )
    cache: str = Field(
        "", description="Place of the shared cache: a path or s3://, gs://, az://; empty: in `data`"
    )
    cache_options: tuple[str, ...] = Field(
        (), repr=False, description="Options of the cache's store as KEY=VALUE: endpoint, region and others"
    )
    cache_tier_bytes: int = Field(8 << 30, ge=0, description="Bound of the local tier before a remote cache")
    prefix: str = Field("noetl.", description="Prefix of every topic and consumer group")
    partitions: int = Field(
        8, ge=1, description="Partitions of the event log; fixed for ever at creation (128 on a cluster)"
    )
    replication: int | None = Field(
        None, ge=1, description="Copies of each new topic; empty: three, or one where there is one broker"
    )
    pools: tuple[str, ...] = Field(("default",), min_length=1, description="Worker pools that exist")
    slots: int = Field(16, ge=1, description="Blocks that a worker runs at once")
    processes: int = Field(2, ge=1, description="Warm subprocesses for python and polars tasks, per worker")
    allow_private: bool = Field(
        False, description="Whether the http tool may reach private and loopback addresses"
    )
    reply_topics: tuple[str, ...] = Field(
        ("replies",), description="Topics, or prefixes ending in *, for replies"
    )
    environment: tuple[str, ...] = Field((), description="Variables that templates may read as `env`")
    timeout: float = Field(10.0, gt=0, description="Seconds to wait for a broker before giving up")

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.prefix, partitions=self.partitions, replication=self.replication)

    @property
    def cache_place(self) -> str | Path:
        return self.cache or self.data / "cache"

    def group(self, role: str) -> str:
        """The consumer group of a role."""
        return f"{self.prefix}{role}"

    def reply_allowed(self, topic: str) -> bool:
        """Replies go to listed topics, never to ours nor to Kafka's own."""
        if topic.startswith((self.prefix, "__")):
            return False
        return any(topic == t or (t.endswith("*") and topic.startswith(t[:-1])) for t in self.reply_topics)

    def visible_environment(self) -> Mapping[str, str]:
        """The allow-listed variables."""
        return {name: os.environ[name] for name in self.environment if name in os.environ}


def settings_from_environment(**chosen: object) -> Settings:
    """Settings from `NOETL_STREAM_*`, overridden by what was chosen on the command line (None: not chosen)."""
    found: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        text = os.environ.get(_PREFIX + name.upper())
        if text is not None:
            is_list = field.annotation == tuple[str, ...]
            found[name] = _listed(text) if is_list else text
    return Settings.model_validate(
        found | {name: value for name, value in chosen.items() if value is not None}
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def this_host() -> str:
    return socket.gethostname()
