"""Which schemas can be written and read: those of this release, and those that other writers have registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias, get_args

from fastavro import schemaless_reader, schemaless_writer

from noetl_stream.core.events import BlockClaimed, Move, Report
from noetl_stream.errors import UndecodableRecord, UnknownSchema
from noetl_stream.wire.layout import RECORDS, Layout, Layouts, Row
from noetl_stream.wire.records import Record
from noetl_stream.wire.schemas import Schema, newest, parse, released

Upcaster: TypeAlias = Callable[[Row], Row]
"""Lifts a row, as it was written, to the next version of its kind. Pure."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""By (kind, version lifted from). A version without one is read by Avro's own rules of resolution."""

_MAGIC = b"\xc3\x01"
_HEAD = 10
_MOVES = frozenset(get_args(Move))
_REPORTED = frozenset((BlockClaimed, *get_args(Report)))


@dataclass(frozen=True, slots=True)
class _Writer:
    head: bytes
    parsed: Any
    layout: Layout


@dataclass(frozen=True, slots=True)
class _Reader:
    written: Any
    resolved: Any
    lifts: tuple[Upcaster, ...]
    layout: Layout
    named: bool
    """Records stand side by side in a union: fastavro must say which one it read, and is slower for it."""


class Registry:
    """Records to bytes and back: C3 01, the writer schema's fingerprint (8 bytes), the Avro body."""

    def __init__(self, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS) -> None:
        self._upcasters = upcasters
        self._schemas = {schema.fingerprint: schema for schema in released()}
        self._layouts = Layouts(self.encode, self._decode_move, self._decode_fact)
        self._writers: dict[type[Record], _Writer] = {}
        self._readers: dict[bytes, _Reader] = {}

    def learn(self, text: str) -> str:
        """Take in a foreign writer's schema; returns its fingerprint in hex.

        Raises ValueError if the text is no versioned record schema. One of a kind that this release has no class
        for stays unknown: its records raise UnknownSchema, since nothing can be made of them here.
        """
        schema = parse(text)
        if schema.kind in RECORDS:
            self._schemas.setdefault(schema.fingerprint, schema)
        return schema.fingerprint.hex()

    def encode(self, record: Record) -> bytes:
        """A record in its newest version. Raises TypeError or ValueError for what its schema cannot hold."""
        kind = type(record)
        writer = self._writers.get(kind) or self._add_writer(kind)
        buffer = BytesIO()
        buffer.write(writer.head)
        schemaless_writer(buffer, writer.parsed, writer.layout.row(record))
        return buffer.getvalue()

    def decode(self, encoded: bytes) -> Record:
        """The record in these bytes, lifted to this release's version.

        Raises UnknownSchema if nobody registered its writer's schema, UndecodableRecord if the bytes are no record.
        """
        head = encoded[:_HEAD]
        reader = self._readers.get(head) or self._add_reader(head)
        try:
            return _read(reader, encoded)
        except (UnknownSchema, UndecodableRecord):
            raise
        except Exception as error:  # bytes from outside: fastavro and orjson fail on them by a dozen types
            raise UndecodableRecord(f"its body does not fit its schema ({error!r})") from error

    def _decode_move(self, encoded: bytes) -> Record:
        record = self.decode(encoded)
        if type(record) not in _MOVES:
            raise UndecodableRecord(f"a {type(record).__name__} stands among a decision's moves")
        return record

    def _decode_fact(self, encoded: bytes) -> Record:
        record = self.decode(encoded)
        if type(record) not in _REPORTED:
            raise UndecodableRecord(f"a {type(record).__name__} stands among what is reported of blocks")
        return record

    def _add_writer(self, kind: type[Record]) -> _Writer:
        schema = newest()[kind.__name__]
        layout = self._layouts.of(schema.kind, schema.fields)
        return self._writers.setdefault(kind, _Writer(_MAGIC + schema.fingerprint, schema.parsed, layout))

    def _add_reader(self, head: bytes) -> _Reader:
        if len(head) < _HEAD or not head.startswith(_MAGIC):
            raise UndecodableRecord("it does not begin with C3 01 and a schema's fingerprint")
        schema = self._schemas.get(head[len(_MAGIC) :])
        if schema is None:
            raise UnknownSchema(head[len(_MAGIC) :].hex())
        return self._readers.setdefault(head, self._reader(schema))

    def _reader(self, schema: Schema) -> _Reader:
        target = newest()[schema.kind]
        versions = range(schema.version, target.version)
        lifts = tuple(up for v in versions if (up := self._upcasters.get((schema.kind, v))))
        resolved = None if lifts or schema.fingerprint == target.fingerprint else target.parsed
        return _Reader(
            written=schema.parsed,
            resolved=resolved,
            lifts=lifts,
            layout=self._layouts.of(target.kind, target.fields),
            named=any(map(_is_union_of_records, schema.fields)),
        )


def _is_union_of_records(field: Mapping[str, Any]) -> bool:
    return isinstance(field["type"], list) and field["type"][0] != "null"


def _read(reader: _Reader, encoded: bytes) -> Record:
    buffer = BytesIO(encoded)
    buffer.seek(_HEAD)
    row: Any = schemaless_reader(
        buffer,
        reader.written,
        reader.resolved,
        return_record_name=reader.named,
        return_record_name_override=reader.named,
    )
    if buffer.tell() != len(encoded):
        raise UndecodableRecord(f"{len(encoded) - buffer.tell()} bytes follow its end")
    for lift in reader.lifts:
        row = lift(row)
    record: Record = reader.layout.value(row)
    return record
