"""What stored bytes are called and how JSON becomes them, references included. Tables: see `tables`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, TypeAlias

import orjson

from noetl_stream.cache.names import Format, object_name, uri
from noetl_stream.core.values import Elsewhere, Ref, Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import FrameKey

Compression: TypeAlias = Literal["lz4", "zstd"] | None

_REF = "$noetl.ref"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes about to get their name. `rows` and `schema` are set for tables."""

    bytes: int
    sha256: str
    format: Format
    rows: int | None = None
    schema: str | None = None

    def name(self, key: FrameKey) -> str:
        return object_name(key, self.sha256, self.format)

    def ref(self, key: FrameKey, parts: Mapping[str, Value] | None) -> Ref:
        return Ref(
            uri=uri(self.name(key)),
            bytes=self.bytes,
            sha256=self.sha256,
            format=self.format,
            rows=self.rows,
            schema=self.schema,
            parts=parts or {},
        )


def encode_json(value: Value) -> bytes:
    """`{"refs": […], "value": …}`: references stand beside the value, which names them by index.

    Raises:
        ToolError: the value is not JSON.
    """
    refs: list[Ref] = []

    def beside(item: object) -> dict[str, int]:
        if not isinstance(item, Ref):
            raise TypeError(f"a {type(item).__name__} is not JSON")
        refs.append(item)
        return {_REF: len(refs) - 1}

    try:
        body = orjson.dumps(value, default=beside, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError as error:
        reason = error.__cause__ or error
        raise ToolError(
            f"the result cannot be stored: {reason}; return JSON or a table", kind="validation"
        ) from error
    return b'{"refs":' + orjson.dumps(refs) + b',"value":' + body + b"}"


def decode_json(content: bytes) -> Value:
    """What `encode_json` was given."""
    stored = orjson.loads(content)
    refs = [_ref(fields) for fields in stored["refs"]]
    return _restored(stored["value"], refs) if refs else stored["value"]


def _ref(fields: dict[str, Any]) -> Ref:
    elsewhere = tuple(Elsewhere(**each) for each in fields.get("elsewhere", ()))
    return Ref(**fields | {"elsewhere": elsewhere})


def _restored(value: Value, refs: list[Ref]) -> Value:
    match value:
        case {"$noetl.ref": int(index)} if len(value) == 1 and index < len(refs):
            return refs[index]
        case dict():
            return {key: _restored(item, refs) for key, item in value.items()}
        case list():
            return [_restored(item, refs) for item in value]
        case _:
            return value


def stored_json(content: bytes) -> Stored:
    """Encoded JSON, measured."""
    return Stored(bytes=len(content), sha256=sha256(content).hexdigest(), format="json")
