"""Each end of a transfer from what is written of it, and its credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, assert_never

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.transfer.config import (
    DuckdbEnd,
    Endpoint,
    FileEnd,
    FrameEnd,
    PostgresEnd,
    Sql,
    SqliteEnd,
    TransferConfig,
)
from noetl_stream.tools.transfer.naming import qualified

if TYPE_CHECKING:
    from noetl_stream.tools.transfer.ends import Source, Target  # they bring Arrow with them

ENDS: Final = ("source", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What ends are made from beside their config. Libraries are loaded by the ends that need them."""

    duckdb_settings: Mapping[str, str] = field(default_factory=dict)

    def source(self, call: Call) -> Source:
        config: TransferConfig = call.config
        end, said = config.source, said_of(config.source)
        match end:
            case PostgresEnd():
                from noetl_stream.tools.transfer.postgres_source import PostgresSource

                return PostgresSource(_address(call, end, "source"), _query(end), said)
            case DuckdbEnd():
                from noetl_stream.tools.transfer.duckdb import DuckdbSource

                return DuckdbSource(end.database, _query(end), self.duckdb_settings, said)
            case SqliteEnd():
                from noetl_stream.tools.transfer.sqlite import SqliteSource

                return SqliteSource(end.database, _query(end), said)
            case FileEnd():
                from noetl_stream.tools.transfer.files import FileSource
                from noetl_stream.tools.transfer.stores import Disk

                return FileSource(end, Disk(said), said)
            case FrameEnd():
                from noetl_stream.tools.transfer.frames import FrameSource

                return FrameSource(call.input, end.name, said)
            case _:
                assert_never(end)

    def target(self, call: Call) -> Target:
        config: TransferConfig = call.config
        end, said, mode, keys = config.target, said_of(config.target), config.mode, config.keys
        key = once_key(call)
        match end:
            case PostgresEnd():
                from noetl_stream.tools.transfer.postgres_target import PostgresTarget

                return PostgresTarget(_address(call, end, "target"), end.table or "", mode, keys, said, key)
            case DuckdbEnd():
                from noetl_stream.tools.transfer.duckdb import DuckdbTarget

                return DuckdbTarget(
                    end.database, end.table or "", mode, keys, self.duckdb_settings, said, key
                )
            case SqliteEnd():
                from noetl_stream.tools.transfer.sqlite import SqliteTarget

                return SqliteTarget(end.database, end.table or "", mode, keys, said, key)
            case FileEnd():
                from noetl_stream.tools.transfer.files import FileTarget
                from noetl_stream.tools.transfer.stores import Disk

                return FileTarget(end, mode, Disk(said), part_of(call), said)
            case FrameEnd():
                from noetl_stream.tools.transfer.frames import FrameTarget

                return FrameTarget()
            case _:
                assert_never(end)


def said_of(end: Endpoint) -> str:
    """What an end is called in results and errors: never by its address."""
    match end:
        case Sql():
            return f"{end.kind} table {end.table}" if end.table else f"{end.kind} query"
        case FileEnd():
            return f"{end.kind} {end.path}"
        case FrameEnd():
            return f"frame {end.name}" if end.name else "frame"
        case _:
            assert_never(end)


def once_key(call: Call) -> str | None:
    """The effect's key, if it is to happen exactly once.

    Raises:
        ToolError: the target keeps no keys.
    """
    if call.once and not isinstance(call.config.target, Sql):
        raise ToolError(
            f"a {call.config.target.kind} target keeps no keys of effects: `exactly_once` needs a database; "
            "use `mode: replace`, which may be done twice",
            kind="validation",
        )
    return call.effect_key if call.once else None


def part_of(call: Call) -> str:
    """The name of this task's own file in a folder."""
    return f"part-{blake2b(call.effect_key.encode(), digest_size=8).hexdigest()}"


def _query(end: Sql) -> str:
    return end.query or f"SELECT * FROM {qualified(end.table or '')}"


def _address(call: Call, end: PostgresEnd, name: str) -> str:
    from noetl_stream.tools.postgres.address import address_of

    return address_of(secret_of(call, name), end.database)


def secret_of(call: Call, name: str) -> Secret:
    """The end's own credential, else the task's.

    Raises:
        ToolError: there is none.
    """
    others = (each for end, each in call.credentials.items() if end not in ENDS)
    found = call.credentials.get(name) or next(others, None)
    if found is None:
        raise ToolError(
            f"the {name} of the transfer names no credential; give it `auth: <alias>`, an alias of the keychain",
            kind="credential",
        )
    return found
