"""What a transfer takes: two ends, each of a kind of its own, and how rows become those of the target."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from noetl_stream.tools.config import Config

Mode: TypeAlias = Literal["append", "replace", "upsert"]

_SPELLINGS: Final = {
    "pg": "postgres",
    "postgresql": "postgres",
    "jsonl": "json",
    "ndjson": "json",
    "table": "frame",
    "input": "frame",
}
_FOR_TARGETS: Final = ("mode", "keys", "mapping")


def _for_targets(schema: dict[str, Any]) -> None:
    """Editors know what `_spelled` takes from under `target`."""
    told = {"description": "for a target: the same as beside it"}
    schema["properties"] |= {key: dict(told) for key in _FOR_TARGETS}


class End(Config):
    """What every end has."""

    model_config = ConfigDict(json_schema_extra=_for_targets)

    auth: Any = Field(None, description="the credential of this end: an alias; by default the task's own")


class Sql(End):
    """An end that is a database."""

    table: str | None = Field(
        None,
        description="the table, perhaps with its schema: `sales.orders`; names are taken as they are written",
    )
    query: str | None = Field(None, description="for a source: a query in place of a table")


class PostgresEnd(Sql):
    kind: Literal["postgres"]
    database: str | None = Field(
        None, description="another database on the server; the credential's by default"
    )


class DuckdbEnd(Sql):
    kind: Literal["duckdb"]
    database: str = Field(description="a file")


class SqliteEnd(Sql):
    kind: Literal["sqlite"]
    database: str = Field(description="a file")


class FileEnd(End):
    kind: Literal["parquet", "csv", "json"]
    path: str = Field(
        description="a file, or an object as `s3://bucket/key`, `gs://…`, `az://…`; as a target that ends in `/` a folder, to which `append` adds a file; "
        "as a source it may have `*`"
    )
    types: dict[str, str] = Field(
        default_factory=dict,
        description="for a csv or json source: types of columns that are not to be guessed, `decimal(18,2)` for one",
    )
    compression: str | None = Field(
        None, description="for a parquet target: `zstd` by default, or `snappy`, `gzip`, `none`"
    )
    endpoint: str | None = Field(
        None, description="for a url: another service that speaks the store's protocol; the credential's wins"
    )
    region: str | None = Field(None, description="for `s3://`: by default the credential's, else `us-east-1`")
    anonymous: bool = Field(False, description="for a url: ask without a credential, for what is public")


class KafkaEnd(End):
    kind: Literal["kafka"]
    topic: str = Field(description="the topic; its values are JSON objects")
    start: Any = Field(
        "earliest",
        description="for a source: `earliest`, `latest`, a time (ISO 8601), or `{partition: offset}`",
    )
    stop: Any = Field(
        None,
        description="for a source: up to this time or `{partition: offset}`, exclusive; by default what is there now",
    )
    partitions: list[int] | None = Field(None, description="for a source: only these; by default all")
    types: dict[str, str] = Field(
        default_factory=dict,
        description="for a source: types of columns that are not to be guessed from its first records",
    )
    places: bool = Field(
        False,
        description="for a source: with the columns `_partition`, `_offset`, `_timestamp` and `_key`",
    )
    key_field: str | None = Field(None, description="for a target: the column that is each record's key")


class FrameEnd(End):
    kind: Literal["frame"]
    name: str | None = Field(None, description="for a source: the input that is meant, if there are several")


Endpoint: TypeAlias = Annotated[
    PostgresEnd | DuckdbEnd | SqliteEnd | FileEnd | KafkaEnd | FrameEnd, Field(discriminator="kind")
]
KINDS: Final = ("postgres", "duckdb", "sqlite", "parquet", "csv", "json", "kafka", "frame")


class TransferConfig(Config):
    source: Endpoint = Field(description="where rows come from: `{kind, auth, …}`")
    target: Endpoint = Field(description="where they go: `{kind, auth, …}`")
    mode: Mode = Field(
        "append", description="`append`, `replace`, or `upsert` by `keys` (also under `target`)"
    )
    keys: list[str] = Field(
        default_factory=list, description="for `upsert`: the target's columns that identify a row"
    )
    mapping: dict[str, str] = Field(
        default_factory=dict,
        description="the target's columns, each with the source's that it takes; by default all, by their names",
    )
    chunk_size: int = Field(65_536, ge=1, le=10_000_000, description="rows that travel at once")

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, config: Any) -> Any:
        if not isinstance(config, dict):
            return config
        ends = {name: _end(name, config[name]) for name in ("source", "target") if name in config}
        target = ends.get("target")
        moved = {}
        if isinstance(target, dict):
            moved = {key: target.pop(key) for key in _FOR_TARGETS if target.get(key) is not None}
        if isinstance(keys := moved.get("keys", config.get("keys")), str):
            moved["keys"] = [keys]
        return {**config, **ends, **moved}

    @model_validator(mode="after")
    def _whole(self) -> TransferConfig:
        if self.mode == "upsert" and not self.keys:
            raise ValueError("`mode: upsert` needs `keys`, the target's columns that identify a row")
        if self.mode == "upsert" and not isinstance(self.target, Sql):
            raise ValueError(f"a {self.target.kind} target has no rows to update; use `append` or `replace`")
        if self.mode == "replace" and isinstance(self.target, KafkaEnd):
            raise ValueError("a kafka target keeps what it has; use `append`")
        if isinstance(self.source, Sql) and (self.source.table is None) == (self.source.query is None):
            raise ValueError("the source needs a `table` or a `query`, and not both")
        if isinstance(self.target, Sql) and (self.target.table is None or self.target.query is not None):
            raise ValueError("the target needs a `table`, and takes no `query`")
        return self


def _end(name: str, end: Any) -> Any:
    """The end with its kind under `kind`. An unknown one is told with the one that is likely meant."""
    if not isinstance(end, dict):
        return end
    end = dict(end)
    named = [end.pop(key) for key in ("kind", "type", "tool") if end.get(key) is not None]
    if not named:
        raise ValueError(f"the {name} needs a `kind`: {', '.join(KINDS)}")
    kind = _SPELLINGS.get(named[0], named[0])
    if kind not in KINDS:
        near = get_close_matches(str(kind), KINDS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(KINDS)}"
        raise ValueError(f"the {name} has an unknown kind '{kind}'; {hint}")
    return {**end, "kind": kind}
