"""Reads Kafka's wire format by kio's schemas, and trusts no length in it.

kio's own reader allocates what an array's length claims, and ends the whole process when that is not to be had; it
also raises on tagged fields that its schema does not know, which the protocol says are to be skipped.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import struct
import typing
import uuid
from collections.abc import Callable
from typing import Any

from kio.schema.errors import ErrorCode

MOST_ELEMENTS = 100_000
"""Array elements and tagged fields in one request: each costs some hundred bytes of memory, however short on the wire."""

NOT_READABLE = (ValueError, IndexError, ArithmeticError, struct.error)
"""What reading raises when the bytes are not what their schema says."""

_VARINT_BYTES = 5
_NO_UUID = bytes(16)


class Malformed(ValueError):
    """Bytes that are not what their schema says."""


class Cursor:
    """A place in a frame. What is read from it is checked against what is there."""

    __slots__ = ("_elements_left", "_end", "at", "frame")

    def __init__(self, frame: bytes, at: int = 0) -> None:
        self.frame, self.at, self._end = frame, at, len(frame)
        self._elements_left = MOST_ELEMENTS

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, self.at = self.at, self.at + size
        if not 0 <= size <= self._end - start:
            raise Malformed(f"{size} bytes are announced where {self._end - start} are left")
        return self.frame[start : self.at]

    def unsigned_varint(self) -> int:
        value = 0
        for place in range(_VARINT_BYTES):
            byte = self.frame[self.at]
            self.at += 1
            if byte < 0x80:
                return value | byte << 7 * place
            value |= (byte & 0x7F) << 7 * place
        raise Malformed(f"a varint is longer than {_VARINT_BYTES} bytes")

    def elements(self, count: int) -> int:
        """The count itself, if so many can be there at all: each takes a byte or more."""
        self._elements_left -= count
        if not 0 <= count <= self._end - self.at or self._elements_left < 0:
            raise Malformed(f"{count} elements are announced, in one request of {self._end} bytes")
        return count


Read = Callable[[Cursor], Any]


@functools.cache
def reader_of(schema: Any) -> Read:
    """Reads an entity of this schema; what it returns is kio's entity.

    The reader raises one of `NOT_READABLE` on bytes that are none.
    """
    flexible: bool = schema.__flexible__
    plain: list[tuple[str, Read]] = []
    tagged: dict[int, tuple[str, Read]] = {}
    for field in dataclasses.fields(schema):
        tag = field.metadata.get("tag")
        if tag is None:
            plain.append((field.name, _field_reader(field, flexible=flexible)))
        else:
            tagged[tag] = (field.name, _field_reader(field, flexible=flexible, tagged=True))

    def read(cursor: Cursor) -> Any:
        values = {name: read_field(cursor) for name, read_field in plain}
        if flexible and (count := cursor.unsigned_varint()):
            values |= _read_tagged(cursor, count, tagged)
        return schema(**values)

    return read


def _read_tagged(cursor: Cursor, count: int, known: dict[int, tuple[str, Read]]) -> dict[str, Any]:
    """Fields that the schema does not know are skipped."""
    values: dict[str, Any] = {}
    for _ in range(cursor.elements(count)):
        tag, size = cursor.unsigned_varint(), cursor.unsigned_varint()
        content = cursor.take(size)
        if tag in known:
            name, read = known[tag]
            values[name] = read(Cursor(content))
    return values


def _field_reader(field: dataclasses.Field[Any], *, flexible: bool, tagged: bool = False) -> Read:
    annotation, nullable = unwrapped(field.type)
    if typing.get_origin(annotation) is not tuple:
        return _item_reader(field, annotation, flexible=flexible, nullable=nullable and not tagged)
    item, _ = unwrapped(typing.get_args(annotation)[0])
    read_item = _item_reader(field, item, flexible=flexible, nullable=False)
    return _array_reader(read_item, flexible=flexible, nullable=nullable)


def unwrapped(annotation: Any) -> tuple[Any, bool]:
    """A schema's `X | None` as X, and whether it was so."""
    options = typing.get_args(annotation)
    if type(None) not in options:
        return annotation, False
    return next(option for option in options if option is not type(None)), True


def _item_reader(field: dataclasses.Field[Any], item: Any, *, flexible: bool, nullable: bool) -> Read:
    if dataclasses.is_dataclass(item):
        entity: Any = item
        read_entity = reader_of(entity)
        return _nullable(read_entity) if nullable else read_entity
    kafka_type = field.metadata["kafka_type"]
    if kafka_type == "string":
        # Every version of the header has it so: a broker must be able to read that of a version it does not know.
        compact = flexible and field.name != "client_id"
        return _text_reader(_length_reader(_SHORT, compact=compact, nullable=nullable))
    if kafka_type in ("bytes", "records"):
        return _bytes_reader(_length_reader(_INT, compact=flexible, nullable=nullable))
    return _PRIMITIVES[kafka_type]


def _nullable(read_entity: Read) -> Read:
    """An entity behind a byte that is below zero where there is none (KIP-893)."""

    def read(cursor: Cursor) -> Any:
        return None if _PRIMITIVES["int8"](cursor) < 0 else read_entity(cursor)

    return read


def _array_reader(read_item: Read, *, flexible: bool, nullable: bool) -> Read:
    read_length = _length_reader(_INT, compact=flexible, nullable=nullable)

    def read(cursor: Cursor) -> Any:
        count = read_length(cursor)
        return None if count is None else tuple([read_item(cursor) for _ in range(cursor.elements(count))])

    return read


def _length_reader(legacy: struct.Struct, *, compact: bool, nullable: bool) -> Callable[[Cursor], int | None]:
    """Reads a length: a varint of one more, or a signed number. The one below zero says that there is nothing."""

    def read(cursor: Cursor) -> int | None:
        length: int
        if compact:
            length = cursor.unsigned_varint() - 1
        else:
            (length,) = legacy.unpack(cursor.take(legacy.size))
        if length == -1 and nullable:
            return None
        if length < 0:
            raise Malformed(f"a length of {length}")
        return length

    return read


def _text_reader(read_length: Callable[[Cursor], int | None]) -> Read:
    def read(cursor: Cursor) -> str | None:
        length = read_length(cursor)
        return None if length is None else cursor.take(length).decode()

    return read


def _bytes_reader(read_length: Callable[[Cursor], int | None]) -> Read:
    def read(cursor: Cursor) -> bytes | None:
        length = read_length(cursor)
        return None if length is None else cursor.take(length)

    return read


def _number_reader(layout: str, meaning: Callable[[Any], Any] | None = None) -> Read:
    packed = struct.Struct(layout)

    def read(cursor: Cursor) -> Any:
        (value,) = packed.unpack_from(cursor.frame, cursor.at)
        cursor.at += packed.size
        return value if meaning is None else meaning(value)

    return read


def _milliseconds(count: int) -> datetime.timedelta:
    return datetime.timedelta(milliseconds=count)


def _read_uuid(cursor: Cursor) -> uuid.UUID | None:
    value = cursor.take(len(_NO_UUID))
    return None if value == _NO_UUID else uuid.UUID(bytes=value)


_SHORT, _INT = struct.Struct(">h"), struct.Struct(">i")
_PRIMITIVES: dict[str, Read] = {
    "bool": _number_reader(">?"),
    "int8": _number_reader(">b"),
    "int16": _number_reader(">h"),
    "int32": _number_reader(">i"),
    "int64": _number_reader(">q"),
    "uint16": _number_reader(">H"),
    "uint32": _number_reader(">I"),
    "float64": _number_reader(">d"),
    "error_code": _number_reader(">h", ErrorCode),
    "timedelta_i32": _number_reader(">i", _milliseconds),
    "timedelta_i64": _number_reader(">q", _milliseconds),
    "uuid": _read_uuid,
}
