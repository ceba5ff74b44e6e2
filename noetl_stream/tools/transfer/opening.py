"""Each end of a transfer from what is written of it, and its credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Brokers
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.kafka.address import Reach, cluster_of
from noetl_stream.tools.kafka.tool import connected
from noetl_stream.tools.transfer.config import (
    DuckdbEnd,
    Endpoint,
    FileEnd,
    FrameEnd,
    KafkaEnd,
    PostgresEnd,
    Sql,
    SqliteEnd,
    TransferConfig,
)
from noetl_stream.tools.transfer.naming import qualified

if TYPE_CHECKING:
    from noetl_stream.tools.transfer.ends import Source, Target  # they bring Arrow with them
    from noetl_stream.tools.transfer.kafka_topic import Topic
    from noetl_stream.tools.transfer.stores import Store

ENDS: Final = ("source", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What ends are made from beside their config. Libraries are loaded by the ends that need them."""

    duckdb_settings: Mapping[str, str] = field(default_factory=dict)
    allow_private: bool = False
    files: Path | None = None
    brokers: Brokers | None = None
    kafka: Reach = field(default_factory=Reach)

    async def source(self, call: Call) -> Source:
        config: TransferConfig = call.config
        end, said = config.source, said_of(config.source)
        match end:
            case PostgresEnd():
                from noetl_stream.tools.transfer.postgres_source import PostgresSource

                return PostgresSource(await self._address(call, end, "source"), _query(end), said)
            case DuckdbEnd():
                from noetl_stream.tools.transfer.duckdb import DuckdbSource

                return DuckdbSource(end.database, _query(end), self.duckdb_settings, said)
            case SqliteEnd():
                from noetl_stream.tools.transfer.sqlite import SqliteSource

                return SqliteSource(end.database, _query(end), said)
            case FileEnd():
                from noetl_stream.tools.transfer.files import FileSource

                return FileSource(*await self._stored(call, end, "source", said), said)
            case KafkaEnd():
                from noetl_stream.tools.transfer.kafka_source import KafkaSource

                return KafkaSource(end, await self._topic(call, end, "source"), said)
            case FrameEnd():
                from noetl_stream.tools.transfer.frames import FrameSource

                return FrameSource(call.input, end.name, said)
            case _:
                assert_never(end)

    async def target(self, call: Call) -> Target:
        config: TransferConfig = call.config
        end, said, mode, keys = config.target, said_of(config.target), config.mode, config.keys
        key = once_key(call)
        match end:
            case PostgresEnd():
                from noetl_stream.tools.transfer.postgres_target import PostgresTarget

                address = await self._address(call, end, "target")
                return PostgresTarget(address, end.table or "", mode, keys, said, key)
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

                end, store = await self._stored(call, end, "target", said)
                return FileTarget(end, mode, store, part_of(call), said)
            case KafkaEnd():
                from noetl_stream.tools.transfer.kafka_target import KafkaTarget

                return KafkaTarget(end, await self._topic(call, end, "target"), said, call.effect_key)
            case FrameEnd():
                from noetl_stream.tools.transfer.frames import FrameTarget

                return FrameTarget()
            case _:
                assert_never(end)

    async def _address(self, call: Call, end: PostgresEnd, name: str) -> str:
        from noetl_stream.tools.postgres.address import within
        from noetl_stream.tools.postgres.reaching import reached

        secret = secret_of(call, name)
        address = await reached(secret, end.database, allow_private=self.allow_private, hosts=call.hosts)
        return within(address, call.timeout)

    async def _topic(self, call: Call, end: KafkaEnd, name: str) -> Topic:
        from noetl_stream.tools.transfer.bridge import Bridge
        from noetl_stream.tools.transfer.kafka_topic import Topic

        cluster = await cluster_of(found_secret(call, name), end.topic, call.hosts, self.kafka)
        return Topic(name=end.topic, cluster=cluster, brokers=connected(self.brokers), bridge=Bridge())

    async def _stored(self, call: Call, end: FileEnd, name: str, said: str) -> tuple[FileEnd, Store]:
        """The store of a path, and the end with the name that its file has there."""
        from noetl_stream.tools.transfer.stores import Disk

        if "://" not in end.path:
            return end, Disk(said, self.files)
        from noetl_stream.tools.objects.config import ObjectConfig
        from noetl_stream.tools.objects.place import place_of
        from noetl_stream.tools.objects.reaching import store_for
        from noetl_stream.tools.transfer.bridge import Bridge
        from noetl_stream.tools.transfer.objects import Objects

        place = place_of(ObjectConfig(operation="get", uri=end.path), None)
        if place.provider == "file":
            return end.model_copy(update={"path": f"/{place.key}"}), Disk(said, self.files)
        if not place.key:
            raise ToolError(f"{said}: '{end.path}' names no object; add its key", kind="validation")
        store = await store_for(
            place,
            None if end.anonymous else secret_of(call, name),
            endpoint=end.endpoint,
            region=end.region,
            allow_private=self.allow_private,
            hosts=call.hosts,
        )
        return end, Objects(store, Bridge(), said)


def said_of(end: Endpoint) -> str:
    """What an end is called in results and errors: never by its address."""
    match end:
        case Sql():
            return f"{end.kind} table {end.table}" if end.table else f"{end.kind} query"
        case FileEnd():
            return f"{end.kind} {end.path}"
        case KafkaEnd():
            return f"kafka topic {end.topic}"
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


def found_secret(call: Call, name: str) -> Secret | None:
    """The end's own credential, else the task's."""
    others = (each for end, each in call.credentials.items() if end not in ENDS)
    return call.credentials.get(name) or next(others, None)


def secret_of(call: Call, name: str) -> Secret:
    """The same. Raises ToolError if there is none."""
    found = found_secret(call, name)
    if found is None:
        raise ToolError(
            f"the {name} of the transfer names no credential; give it `auth: <alias>`, an alias of the keychain",
            kind="credential",
        )
    return found
