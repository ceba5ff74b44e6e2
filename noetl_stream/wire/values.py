"""JSON values as bytes, references included. What a user writes can never pass for a reference of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from noetl_stream.core.values import Elsewhere, Piped, Ref, Value

_KEY = "__ref__"
_MARK = b'"__ref__'
_OWN_KEY = re.compile(r"__ref__~*")
_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_FIELDS = ("uri", "bytes", "sha256", "format", "rows", "schema", "store")


def encode_value(value: Value) -> bytes:
    """JSON of a value. A `Ref` or a `Piped` becomes `{"__ref__": {…}}`; a user's own key `__ref__` gains a `~`.

    Raises TypeError for what JSON cannot hold: other types, keys that are no strings, integers over 64 bits,
    lone surrogates, more than 250 levels. NaN and the infinities become null, as in ECMAScript.
    """
    if value is None:
        return b"null"
    try:
        encoded = orjson.dumps(value, None, _STRICT)
    except orjson.JSONEncodeError:
        return _encode_with_refs(value)
    return _encode_with_refs(value) if _MARK in encoded else encoded


def decode_value(encoded: bytes) -> Value:
    """The value of `encode_value`'s bytes. Raises ValueError or TypeError for any others."""
    if encoded == b"null":
        return None
    value = orjson.loads(encoded)
    return _restored(value) if _MARK in encoded else value


def encode_plain(value: Value) -> bytes:
    """JSON without references, as services write it. Raises TypeError like `encode_value`."""
    return _dumps(value)


def decode_plain(encoded: bytes) -> Value:
    """JSON in which nothing is a reference, whatever its keys say. Raises ValueError."""
    return orjson.loads(encoded)


def _encode_with_refs(value: Value) -> bytes:
    """The walk that plain values are spared: references become objects, a user's own `__ref__` is escaped."""
    try:
        return _dumps(_escaped(value))
    except RecursionError as error:
        raise TypeError("not a JSON value: it is nested too deeply, or contains itself") from error


def _dumps(value: Value) -> bytes:
    try:
        return orjson.dumps(value, None, _STRICT)
    except orjson.JSONEncodeError as error:
        raise TypeError(f"not a JSON value: {error}; convert it before it leaves the tool") from error


def _fields(ref: Ref, parts: Mapping[str, Value]) -> dict[str, Any]:
    fields = {name: found for name in _FIELDS if (found := getattr(ref, name)) is not None}
    if ref.elsewhere:
        fields["elsewhere"] = [[each.first, each.count, each.name] for each in ref.elsewhere]
    return fields | {"parts": parts} if parts else fields


def _escaped(value: Value) -> Value:
    match value:
        case Mapping():
            return {_escaped_key(key): _escaped(item) for key, item in value.items()}
        case list() | tuple():
            return [_escaped(item) for item in value]
        case Ref():
            return {_KEY: _fields(value, _escaped(value.parts))}
        case Piped():
            return {_KEY: {"value": _escaped(value.value), "tasks": _escaped(value.tasks)}}
        case _:
            return value


def _escaped_key(key: Any) -> Any:
    return key + "~" if isinstance(key, str) and _OWN_KEY.fullmatch(key) else key


def _restored(value: Value) -> Value:
    match value:
        case {"__ref__": fields, **rest}:
            if rest:
                raise ValueError("a reference stands beside other keys")
            if "tasks" in fields:
                return Piped(_restored(fields["value"]), _restored(fields["tasks"]))
            elsewhere = tuple(Elsewhere(*each) for each in fields.get("elsewhere", ()))
            return Ref(**fields | {"parts": _restored(fields.get("parts", {})), "elsewhere": elsewhere})
        case dict():
            return {_restored_key(key): _restored(item) for key, item in value.items()}
        case list():
            return [_restored(item) for item in value]
        case _:
            return value


def _restored_key(key: str) -> str:
    return key[:-1] if _OWN_KEY.fullmatch(key) else key
