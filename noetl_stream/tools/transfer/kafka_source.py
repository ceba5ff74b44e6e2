"""A topic as a source: what of it is there when the transfer begins, a page at a time, each record one JSON object."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.json

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Drained, Range
from noetl_stream.ports.log import Record
from noetl_stream.tools.kafka.ranges import start_of, stop_of
from noetl_stream.tools.transfer.columns import JSON, plain_type
from noetl_stream.tools.transfer.config import KafkaEnd
from noetl_stream.tools.transfer.files import reading
from noetl_stream.tools.transfer.formats import sliced
from noetl_stream.tools.transfer.kafka_topic import Topic
from noetl_stream.tools.transfer.texts import json_text
from noetl_stream.tools.transfer.type_names import named_types

PAGE: Final = Range(most=65_536, most_bytes=16 << 20, seconds=30.0)
"""What is held of a topic at once."""
PLACE: Final = pa.schema(
    [
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_timestamp", pa.timestamp("ms", "UTC")),
        ("_key", pa.string()),
    ]
)


class KafkaSource:
    """Its columns are those of its first page, but for the types that are given."""

    def __init__(self, end: KafkaEnd, topic: Topic, said: str, page: Range = PAGE) -> None:
        self.said = said
        self._end, self._topic = end, topic
        self._page = replace(page, partitions=end.partitions)

    def open(self) -> pa.Schema:
        self._given = named_types(self._end.types, self.said)
        wanted = replace(self._page, start=start_of(self._end.start), stop=self._stops())
        self._first = self._drain(wanted)
        self._wanted = wanted
        self._fields = self._fields_of(self._first.records)
        return pa.schema([*self._fields, *(PLACE if self._end.places else ())])

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        for page in self._pages():
            yield from sliced(iter(self._table(page.records).to_batches()), rows)

    def stop(self) -> None:
        self._topic.bridge.stop()

    def close(self) -> None:
        """Each page has a connection of its own."""

    def _stops(self) -> Mapping[int, int]:
        """Where each partition ends for this transfer: what is appended from now on is not waited for."""
        asked = stop_of(self._end.stop)
        nothing = replace(self._page, most=0)
        if isinstance(asked, int):
            return self._topic.drain(replace(nothing, start=asked)).next
        ends = self._topic.drain(replace(nothing, start="latest")).next
        return ends if asked is None else {each: min(asked.get(each, end), end) for each, end in ends.items()}

    def _pages(self) -> Iterator[Drained]:
        page = self._first
        del self._first
        while True:
            yield page
            if page.complete:
                return
            page = self._drain(replace(self._wanted, start=page.next))

    def _drain(self, wanted: Range) -> Drained:
        found = self._topic.drain(wanted)
        if not found.records and not found.complete and found.next == wanted.start:
            raise ToolError(
                f"{self.said}: its brokers sent nothing for {wanted.seconds:g} s; are all of them running?",
                kind="timeout",
                retryable=True,
            )
        return found

    def _fields_of(self, records: Sequence[Record]) -> list[pa.Field]:
        found = {each.name: plain_type(each.type) for each in self._guessed(records)} | self._given
        if not found:
            raise ToolError(
                f"{self.said}: there is no record in this range, and no column is known; name them in `types`",
                kind="validation",
            )
        return [pa.field(name, kind) for name, kind in found.items()]

    def _table(self, records: Sequence[Record]) -> pa.Table:
        parsed = [self._parsed(each) for each in records]
        names = {field.name for field in self._fields}
        for record, value in zip(records, parsed, strict=True):
            if beyond := value.keys() - names:
                raise self._unread(record, f"has '{min(beyond)}', which the first records lack")
        read = self._read([b"{}" if record.value is None else record.value for record in records])
        documents = self._documents(records)
        columns = [
            documents[field.name] if field.name in documents else read.column(field.name)
            for field in self._fields
        ]
        places = _places(records) if self._end.places else []
        return pa.Table.from_arrays(
            [*columns, *places], schema=pa.schema([*self._fields, *(PLACE if places else ())])
        )

    def _documents(self, records: Sequence[Record]) -> dict[str, pa.Array]:
        """The columns that are JSON themselves, whose numbers keep all their digits."""
        names = [field.name for field in self._fields if field.type == JSON]
        if not names:
            return {}
        rows = [_verbatim(each.value) for each in records]
        texts = {
            name: [None if row.get(name) is None else json_text(row[name]) for row in rows] for name in names
        }
        return {
            name: pa.ExtensionArray.from_storage(JSON, pa.array(each, pa.string()))
            for name, each in texts.items()
        }

    def _guessed(self, records: Sequence[Record]) -> pa.Schema:
        """The types that Arrow finds in these values. What is given as JSON may be of any shape, and is not shown to it."""
        documents = {name for name, kind in self._given.items() if kind == JSON}
        rows = [{k: v for k, v in self._parsed(each).items() if k not in documents} for each in records]
        if not any(rows):
            return pa.schema([])
        typed = [pa.field(*each) for each in self._given.items() if each[1] != JSON]
        return self._arrow([orjson.dumps(row) for row in rows], typed, "infer").schema

    def _read(self, values: Sequence[bytes]) -> pa.Table:
        typed = [field for field in self._fields if field.type != JSON]
        if not values or not typed:
            return pa.schema(typed).empty_table()
        return self._arrow(values, typed, "ignore")

    def _arrow(self, values: Sequence[bytes], typed: list[pa.Field], beyond: str) -> pa.Table:
        """Read by Arrow, whose decimals and integers have all their digits."""
        text = b"\n".join(values)
        with reading(self.said):
            return pyarrow.json.read_json(
                io.BytesIO(text),
                read_options=pyarrow.json.ReadOptions(block_size=len(text) + 1),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=pa.schema(typed),
                    newlines_in_values=True,
                    unexpected_field_behavior=beyond,
                ),
            )

    def _parsed(self, record: Record) -> Mapping[str, Any]:
        try:
            found = {} if record.value is None else orjson.loads(record.value)
        except ValueError as error:
            raise self._unread(record, f"does not read as JSON ({error})") from error
        if not isinstance(found, dict):
            raise self._unread(record, "is JSON, and no object")
        return found

    def _unread(self, record: Record, why: str) -> ToolError:
        return ToolError(
            f"{self.said}: [{record.partition}]@{record.offset} {why}; name the columns in `types`, or begin after it",
            kind="validation",
            code="unreadable_record",
        )


def _verbatim(value: bytes | None) -> Any:
    """An object whose numbers are as they were written."""
    if value is None:
        return {}
    return json.loads(value, parse_int=orjson.Fragment, parse_float=orjson.Fragment)


def _places(records: Sequence[Record]) -> list[pa.Array]:
    keys = [None if each.key is None else each.key.decode(errors="backslashreplace") for each in records]
    return [
        pa.array([each.partition for each in records], pa.int32()),
        pa.array([each.offset for each in records], pa.int64()),
        pa.array([each.timestamp for each in records], pa.timestamp("ms", "UTC")),
        pa.array(keys, pa.string()),
    ]
