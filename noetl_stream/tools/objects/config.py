"""What the object task takes: which object, what is done with it, and how its content is written."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import AliasChoices, Field, model_validator

from noetl_stream.tools.config import Config

Operation: TypeAlias = Literal["get", "put", "list", "delete", "head", "copy"]
Format: TypeAlias = Literal["text", "json", "bytes", "parquet", "arrow", "csv", "jsonl"]
TABLES: frozenset[Format] = frozenset({"parquet", "arrow", "csv", "jsonl"})
"""The formats that hold rows."""
_ENDINGS: dict[str, Format] = {
    "parquet": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
    "csv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "txt": "text",
    "md": "text",
}


class ObjectConfig(Config):
    operation: Operation = Field(
        "get",
        validation_alias=AliasChoices("operation", "action", "op"),
        description="`get`, `put`, `list`, `delete`, `head` or `copy`",
    )
    uri: str | None = Field(
        None, description="`s3://bucket/key`, `gs://…`, `az://…`; `file:///…` under the configured folder"
    )
    bucket: str | None = Field(None, description="the bucket or container, where there is no `uri`")
    key: str | None = Field(
        None,
        validation_alias=AliasChoices("key", "path", "object", "prefix"),
        description="the object's name in it; for `list` how names begin, up to a `/` (also `path`, `object`, `prefix`)",
    )
    provider: Literal["s3", "gcs", "azure"] | None = Field(
        None, description="whose store a `bucket` is of; by default what the credential says, else `s3`"
    )
    to: str | None = Field(None, description="for `copy`: the new key in the same bucket")
    body: Any = Field(
        None,
        validation_alias=AliasChoices("body", "data", "content", "value"),
        description="for `put`: text, JSON, a table, or for `format: bytes` base64 text; by default the input `body`",
    )
    format: Format | None = Field(
        None,
        description="`text`, `json`, `bytes`, `parquet`, `arrow`, `csv` or `jsonl`; by default what the key ends with",
    )
    content_type: str | None = Field(None, description="for `put`: what the store tells readers it is")
    if_absent: bool = Field(
        False,
        description="for `put`: write nothing over another content; the same content again is no error",
    )
    missing_ok: bool = Field(
        True, description="for `delete`: an object that is not there is no error (stores like S3 never tell)"
    )
    limit: int = Field(1000, ge=1, le=100_000, description="for `list`: so many objects at most")
    after: str | None = Field(
        None, description="for `list`: only keys after this one, to go on where one ended"
    )
    folders: bool = Field(
        False, description="for `list`: only what stands directly under `key`, and its folders"
    )
    max_bytes: int = Field(
        256 << 20, ge=1, le=4 << 30, description="for `get`: a larger object is an error; 256 MiB by default"
    )
    region: str | None = Field(None, description="for s3: by default the credential's, else `us-east-1`")
    endpoint: str | None = Field(
        None, description="another service that speaks the protocol; the credential's wins"
    )
    anonymous: bool = Field(False, description="ask without a credential, for what is public")

    @model_validator(mode="after")
    def _whole(self) -> ObjectConfig:
        if (self.uri is None) == (self.bucket is None):
            raise ValueError("an object has a `uri`, or a `bucket` and a `key`")
        if self.uri is not None and "://" not in self.uri:
            raise ValueError("a `uri` has a scheme: s3://bucket/key, gs://…, az://… or file:///…")
        if self.operation == "copy" and not self.to:
            raise ValueError("copy needs `to`, the new key")
        return self


def format_of(key: str) -> Format | None:
    """What a key's ending says of the content; None if it says nothing."""
    return _ENDINGS.get(key.rpartition(".")[2].lower())
