"""Rows out of PostgreSQL: one COPY BINARY of a query, in one snapshot, with types that Arrow holds exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.columns import JSON, UUID, is_list
from noetl_stream.tools.transfer.naming import quoted
from noetl_stream.tools.transfer.numerics import MOST, decimals
from noetl_stream.tools.transfer.postgres import PostgresLink

_DIGITS: Final = (38, 76)
# Their binary form is PostgreSQL's own; as these they have one that Arrow knows.
_CAST: Final = {"money": "numeric(20,2)", "oid": "bigint", "xid": "bigint"}


_BATCH: Final = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}
"""The driver's own 16 MB come too rarely: whoever takes them waits, and then the server does."""


class PostgresSource:
    def __init__(self, address: str, query: str, said: str) -> None:
        self.said = said
        self._link = PostgresLink(address, said)
        self._query = query.strip().rstrip(";")

    def open(self) -> pa.Schema:
        self._cursor = self._link.connect()
        with self._link.errors():
            # The types are looked up in the rows that are then read.
            self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            described = self._cursor.adbc_execute_schema(f"SELECT * FROM ({self._query}) AS source")
            columns = Columns(described)
            if columns.asked:
                found = self._link.rows(f"SELECT {', '.join(columns.asked)} FROM ({self._query}) AS source")
                columns.answer(found[0])
        self._columns = columns
        return columns.schema

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        with self._link.errors():
            self._cursor.adbc_statement.set_options(**_BATCH)
            self._cursor.execute(f"SELECT {', '.join(self._columns.read)} FROM ({self._query}) AS source")
            for batch in self._cursor.fetch_record_batch():
                read = self._columns.decoded(batch)
                for first in range(0, read.num_rows, rows):
                    yield read.slice(first, rows)

    def stop(self) -> None:
        self._link.stop()

    def close(self) -> None:
        self._link.close()


class Columns:
    """How each column is read, and the type it then has."""

    def __init__(self, described: pa.Schema) -> None:
        self._fields = list(described)
        self.read = [_read(field) for field in described]
        self.types = [_type(field) for field in described]
        self._sent = [n for n, field in enumerate(described) if _is_sent(field)]
        self._open = [n for n, field in enumerate(described) if _is_open(field)]
        self._lists = [n for n, field in enumerate(described) if is_list(field.type)]
        self.asked = [ask for n in self._open for ask in _digits(self._fields[n])]
        self.asked += [f"max(array_ndims({quoted(self._fields[n].name)}))" for n in self._lists]

    def answer(self, found: tuple[int | bool | None, ...]) -> None:
        """What `asked` yielded: for numerics without bounds their digits, for arrays their dimensions."""
        for at, n in enumerate(self._open):
            scale, whole, odd = found[3 * at : 3 * at + 3]
            exact = _decimal(int(scale or 0), int(whole or 0)) if not odd else None
            nested = is_list(self._fields[n].type)
            if exact is None:
                # More digits than Arrow has, NaN or infinity: text is exact.
                self._as_text(n, "text[]" if nested else "text")
            else:
                self.types[n] = pa.list_(exact) if nested else exact
        for n, dimensions in zip(self._lists, found[3 * len(self._open) :], strict=True):
            if dimensions is not None and int(dimensions) > 1:
                # Arrow has no column for arrays of several shapes; PostgreSQL reads its own text again.
                self._as_text(n, "text")

    def decoded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with its numerics as decimals."""
        for n in self._sent:
            name = self._fields[n].name
            try:
                batch = batch.set_column(n, name, decimals(batch.column(n), self.types[n]))
            except ValueError as error:
                raise ToolError(
                    f"column '{name}': {error}; cast it to text in the source's query", kind="validation"
                ) from error
        return batch

    def _as_text(self, n: int, kind: str) -> None:
        name = quoted(self._fields[n].name)
        self.read[n] = f"{name}::{kind} AS {name}"
        self.types[n] = pa.list_(pa.string()) if kind == "text[]" else pa.string()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(zip((each.name for each in self._fields), self.types, strict=True)))


def _read(field: pa.Field) -> str:
    name, kind = quoted(field.name), _server_type(field)
    if kind in _CAST:
        return f"{name}::{_CAST[kind]} AS {name}"
    if _is_sent(field):
        return f"numeric_send({name}) AS {name}"
    if _is_foreign(field.type):
        return f"{name}::text AS {name}"
    if is_list(field.type) and _is_foreign(field.type.value_type):
        return f"{name}::text[] AS {name}"
    return name


def _type(field: pa.Field) -> pa.DataType:
    kind = _server_type(field)
    if kind in _CAST:
        return pa.decimal128(20, 2) if kind == "money" else pa.int64()
    if _is_numeric(field.type):
        return _declared(field) or pa.string()
    if is_list(field.type):
        declared = _declared(field) if _is_numeric(field.type.value_type) else None
        return pa.list_(declared or _element(field.type.value_type))
    return _element(field.type)


def _element(kind: pa.DataType) -> pa.DataType:
    name = getattr(kind, "extension_name", None)
    if name in ("arrow.uuid", "arrow.json"):
        return UUID if name == "arrow.uuid" else JSON
    return pa.string() if _is_foreign(kind) or _is_numeric(kind) else kind


def _server_type(field: pa.Field) -> str:
    name: bytes = (field.metadata or {}).get(b"POSTGRESQL:type", b"")
    return name.decode()


def _is_numeric(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.OpaqueType) and kind.type_name == "numeric"


def _is_foreign(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.OpaqueType) and kind.type_name != "numeric"


def _is_open(field: pa.Field) -> bool:
    """Whether only its values tell how many digits it has."""
    kind = field.type.value_type if is_list(field.type) else field.type
    return _is_numeric(kind) and _declared(field) is None


def _is_sent(field: pa.Field) -> bool:
    """Whether it is read as the server sends it: the driver would write each number as text."""
    if not _is_numeric(field.type):
        return False
    kind = _declared(field)
    return kind is not None and kind.precision <= MOST


def _declared(field: pa.Field) -> pa.DataType | None:
    """numeric(p, s): its modifier holds both, the scale as a signed number of eleven bits."""
    modifier = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1"))
    if modifier < 4:
        return None
    precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
    scale = scale - 0x800 if scale & 0x400 else scale
    if scale < 0 or precision > _DIGITS[1]:
        return None
    return _decimal(scale, max(precision - scale, 0), precision)


def _decimal(scale: int, whole: int, precision: int | None = None) -> pa.DataType | None:
    """The decimal with so many digits behind and before its point; None if Arrow has none."""
    if precision is None and scale + whole <= _DIGITS[0]:
        # So that two results of one query are alike.
        return pa.decimal128(_DIGITS[0], scale)
    precision = max(precision or 0, scale + whole, 1)
    if precision <= _DIGITS[0]:
        return pa.decimal128(precision, scale)
    return pa.decimal256(precision, scale) if precision <= _DIGITS[1] else None


def _digits(field: pa.Field) -> list[str]:
    """Questions to the server: the most digits behind the point, before it, and whether there is a value without any."""
    name = quoted(field.name)
    scale, whole, odd = (
        "scale({0})",
        "length(trunc(abs({0}))::text)",
        "{0} IN ('NaN', 'Infinity', '-Infinity')",
    )
    if not is_list(field.type):
        return [f"max({scale})".format(name), f"max({whole})".format(name), f"bool_or({odd})".format(name)]
    inner = "(SELECT {0} FROM unnest({1}) AS each)"
    return [
        f"max({inner.format(f'max({scale})'.format('each'), name)})",
        f"max({inner.format(f'max({whole})'.format('each'), name)})",
        f"bool_or({inner.format(f'bool_or({odd})'.format('each'), name)})",
    ]
