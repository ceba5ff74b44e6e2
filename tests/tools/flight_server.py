"""A server of Arrow Flight SQL on loopback, over a duckdb of its own: the commands that the ADBC driver sends, one user, transactions.

https://arrow.apache.org/docs/format/FlightSql.html tells the messages; they are few enough to be read by hand.
"""

from __future__ import annotations

import itertools
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import flight

USER, PASSWORD, _TOKEN = "tests", "correct horse battery", "let-me-in"
_TYPE = "type.googleapis.com/arrow.flight.protocol.sql."
_TRANSACTIONS = 8  # FLIGHT_SQL_SERVER_TRANSACTION
_NO_COLUMNS = pa.schema([]).serialize().to_pybytes()


@dataclass
class _Statement:
    """A statement from its preparation to its end; `connection` is its transaction's, or one of its own."""

    text: str
    connection: duckdb.DuckDBPyConnection
    values: list[Any] = field(default_factory=list)
    reader: Any = None


class FlightServer(flight.FlightServerBase):  # type: ignore[misc]  # Arrow has no types
    """`running` are the statements whose rows are being read; `methods` what was asked."""

    def __init__(self, *, transactions: bool = True, tls: tuple[bytes, bytes] | None = None) -> None:
        """`tls` is a certificate and its key, as PEM."""
        super().__init__(
            "grpc+tls://127.0.0.1:0" if tls else "grpc://127.0.0.1:0",
            auth_handler=_NoHandshake(),
            tls_certificates=[tls] if tls else None,
            middleware={"login": _LoginFactory()},
        )
        self._database, self._info = duckdb.connect(), _info(transactions=transactions)
        self._statements: dict[bytes, _Statement] = {}
        self._transactions: dict[bytes, duckdb.DuckDBPyConnection] = {}
        self._keys = itertools.count()
        self.running, self.methods = 0, list[str]()

    def do_action(self, context: Any, action: flight.Action) -> list[bytes]:
        self.methods.append(action.type)
        body = _fields(_packed(action.body.to_pybytes())[1])
        match action.type:
            case "CreatePreparedStatement":
                return [_any("ActionCreatePreparedStatementResult", *self._prepare(body))]
            case "ClosePreparedStatement":
                self._statements.pop(body[1], None)
            case "BeginTransaction":
                key, connection = self._key(), self._database.cursor()
                connection.execute("BEGIN")
                self._transactions[key] = connection
                return [_any("ActionBeginTransactionResult", (1, key))]
            case "EndTransaction":
                self._transactions.pop(body[1]).execute("COMMIT" if body[2] == 1 else "ROLLBACK")
            case _:
                raise _unknown(action.type)
        return []

    def get_flight_info(self, context: Any, descriptor: flight.FlightDescriptor) -> flight.FlightInfo:
        name, body = _packed(descriptor.command)
        self.methods.append(name)
        if name == "CommandGetSqlInfo":
            ticket, schema = b"info", self._info.schema
        elif name == "CommandPreparedStatementQuery":
            ticket = _fields(body)[1]
            statement = self._statements[ticket]
            statement.reader = _executed(statement)
            schema = statement.reader.schema
        else:
            raise _unknown(name)
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        if ticket.ticket == b"info":
            return flight.RecordBatchStream(self._info)
        reader = self._statements[ticket.ticket].reader
        return flight.GeneratorStream(reader.schema, self._read(context, reader))

    def do_put(
        self,
        context: Any,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        name, body = _packed(descriptor.command)
        self.methods.append(name)
        if name not in ("CommandPreparedStatementQuery", "CommandPreparedStatementUpdate"):
            raise _unknown(name)
        statement = self._statements[_fields(body)[1]]
        rows = reader.read_all().to_pylist()
        statement.values = list(rows[0].values()) if rows else []
        if name == "CommandPreparedStatementUpdate":
            count = _changed(statement)
            writer.write(pa.py_buffer(_message((1, count))))

    def _prepare(self, body: dict[int, Any]) -> list[tuple[int, bytes]]:
        text, transaction = body[1].decode(), body.get(2)
        connection = self._transactions[transaction] if transaction else self._database.cursor()
        key = self._key()
        try:
            connection.extract_statements(text)
        except duckdb.Error as error:
            raise flight.FlightServerError(f"{type(error).__name__}: {error}") from error
        self._statements[key] = _Statement(text, connection)
        return [(1, key), (2, _NO_COLUMNS), (3, _NO_COLUMNS)]

    def _read(self, context: flight.ServerCallContext, reader: Any) -> Iterator[pa.RecordBatch]:
        self.running += 1
        try:
            for batch in reader:
                if context.is_cancelled():
                    return
                yield batch
        finally:
            self.running -= 1

    def _key(self) -> bytes:
        return str(next(self._keys)).encode()


class _NoHandshake(flight.ServerAuthHandler):  # type: ignore[misc]  # Arrow has no types
    """Who asks is told by each request's header."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None: ...

    def is_valid(self, token: bytes) -> bytes:
        return b""


class _LoginFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # Arrow has no types
    def start_call(self, info: flight.CallInfo, headers: dict[str, list[str]]) -> _Login:
        way, _, proof = headers.get("authorization", [""])[0].partition(" ")
        login = f"{USER}:{PASSWORD}"
        if not (proof == _TOKEN or (way == "Basic" and b64decode(f"{proof}==").decode() == login)):
            raise flight.FlightUnauthenticatedError("no such user or password")
        return _Login()


class _Login(flight.ServerMiddleware):  # type: ignore[misc]  # Arrow has no types
    def sending_headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {_TOKEN}"}


@contextmanager
def serving(*, transactions: bool = True, tls: tuple[bytes, bytes] | None = None) -> Iterator[FlightServer]:
    """A server that is there for the block."""
    with FlightServer(transactions=transactions, tls=tls) as server:
        yield server


def _executed(statement: _Statement) -> pa.RecordBatchReader:
    """The rows of a statement, read on demand."""
    try:
        return statement.connection.sql(statement.text, params=statement.values).to_arrow_reader(1000)
    except duckdb.Error as error:
        raise flight.FlightServerError(f"{type(error).__name__}: {error}") from error


def _changed(statement: _Statement) -> int:
    """The number of rows that a statement changes."""
    try:
        found = statement.connection.execute(statement.text, statement.values).fetchone()
    except duckdb.Error as error:
        raise flight.FlightServerError(f"{type(error).__name__}: {error}") from error
    return found[0] if found and isinstance(found[0], int) else 0


def _info(*, transactions: bool) -> pa.Table:
    """Whether there are transactions, as GetSqlInfo answers."""
    kinds = [pa.string(), pa.bool_(), pa.int64(), pa.int32(), pa.list_(pa.string())]
    names = ["string_value", "bool_value", "bigint_value", "int32_bitmask", "string_list"]
    kinds.append(pa.map_(pa.int32(), pa.list_(pa.int32())))
    names.append("int32_to_int32_list_map")
    values = [pa.array([int(transactions)] if kind == pa.int32() else [], kind) for kind in kinds]
    union = pa.UnionArray.from_dense(pa.array([3], pa.int8()), pa.array([0], pa.int32()), values, names)
    return pa.table({"info_name": pa.array([_TRANSACTIONS], pa.uint32()), "value": union})


def _packed(content: bytes) -> tuple[str, bytes]:
    """The name and the content of a message in an Any."""
    found = _fields(content)
    return found[1].decode().removeprefix(_TYPE), found.get(2, b"")


def _any(name: str, *fields: tuple[int, Any]) -> bytes:
    return _message((1, f"{_TYPE}{name}".encode()), (2, _message(*fields)))


def _message(*fields: tuple[int, Any]) -> bytes:
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(_varint(number << 3) + _varint(value))
        else:
            parts.append(_varint(number << 3 | 2) + _varint(len(value)) + value)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    head = value & 0x7F
    return bytes([head | 0x80]) + _varint(value >> 7) if value > 0x7F else bytes([head])


def _fields(content: bytes) -> dict[int, Any]:
    """The fields of a message, numbers and bytes; of a repeated one the last."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(content):
        key, at = _number(content, at)
        value, at = _number(content, at)
        if key & 7 == 2:
            found[key >> 3], at = content[at : at + value], at + value
        else:
            found[key >> 3] = value
    return found


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _unknown(name: str) -> flight.FlightError:
    return flight.FlightServerError(f"this server knows no {name}")
