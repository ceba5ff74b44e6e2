"""The table of tool kinds. Ours stand in it like a plugin's: what the language must know, and how one is made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from noetl_stream.ports.brokers import Brokers
from noetl_stream.ports.chores import Chores
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Kind, Tool
from noetl_stream.tools.adbc.tool import Adbc, Snowflake
from noetl_stream.tools.approve import Approve
from noetl_stream.tools.artifact import Artifact, ResultFetch
from noetl_stream.tools.callback import CallbackTool
from noetl_stream.tools.container.runtime import Runtime
from noetl_stream.tools.container.tool import Container
from noetl_stream.tools.duckdb import Duckdb
from noetl_stream.tools.ducklake.tool import Ducklake
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.http.tool import Http
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.kafka.tool import Kafka
from noetl_stream.tools.mcp.tool import Mcp
from noetl_stream.tools.nats.tool import Nats
from noetl_stream.tools.noop import Noop
from noetl_stream.tools.objects.tool import Object
from noetl_stream.tools.playbook import Playbook
from noetl_stream.tools.plugin import GROUP, Plugin
from noetl_stream.tools.polars import Polars
from noetl_stream.tools.postgres.tool import Postgres
from noetl_stream.tools.python import Python
from noetl_stream.tools.script import Scripts
from noetl_stream.tools.shell import ScriptTool, Shell
from noetl_stream.tools.sqlite import Sqlite
from noetl_stream.tools.subscription.tool import Subscription
from noetl_stream.tools.system import System
from noetl_stream.tools.transfer.opening import ENDS
from noetl_stream.tools.transfer.tool import Transfer
from noetl_stream.tools.wait import Wait
from noetl_stream.tools.warm.pool import WarmPool
from noetl_stream.tools.wasm.tool import Wasm

SQL = frozenset({"query", "command", "commands", "script"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What tools are made from. Whoever makes these closes them, after the tools."""

    pool: WarmPool
    client: GuardedClient
    cache: Cache
    duckdb_settings: Mapping[str, str] = field(default_factory=dict)
    allow_private: bool = False
    files: Path | None = None
    scratch: Path | None = None
    brokers: Brokers | None = None
    kafka: Reach = field(default_factory=Reach)
    chores: Chores | None = None
    containers: Runtime | None = None
    task_memory: int | None = None

    @property
    def scripts(self) -> Scripts:
        """How programs that stand elsewhere are read."""
        return Scripts(self.client.text, allow_private=self.allow_private)


python = Plugin(
    tool=Python, make=lambda means: Python(means.pool, means.scripts), templated_text=frozenset({"code"})
)
polars = Plugin(tool=Polars, make=lambda means: Polars(means.pool), templated_text=frozenset({"code", "sql"}))
duckdb = Plugin(
    tool=Duckdb,
    make=lambda means: Duckdb(means.scripts, settings=means.duckdb_settings),
    templated_text=SQL,
    once=True,
)
ducklake = Plugin(
    tool=Ducklake,
    make=lambda means: Ducklake(
        means.scripts, settings=means.duckdb_settings, allow_private=means.allow_private
    ),
    templated_text=SQL,
    needs=("duckdb_extension_ducklake",),
    extra="ducklake",
)
http = Plugin(
    tool=Http,
    make=lambda means: Http(means.client),
    aliases={"endpoint": "url", "json": "body", "data": "body", "payload": "body"},
    once=True,
)
playbook = Plugin(tool=Playbook, make=lambda _: Playbook(), aliases={"result_step": "return_step"}, once=True)
noop = Plugin(tool=Noop, make=lambda _: Noop())
artifact = Plugin(
    tool=Artifact,
    make=lambda means: Artifact(means.cache),
    aliases={"ref": "result_ref", "uri": "result_ref"},
)
result_fetch = Plugin(
    tool=ResultFetch,
    make=lambda means: ResultFetch(means.cache),
    aliases={"ref": "result_ref", "uri": "result_ref"},
)
sqlite = Plugin(tool=Sqlite, make=lambda means: Sqlite(means.scripts), templated_text=SQL, once=True)
postgres = Plugin(
    tool=Postgres,
    make=lambda means: Postgres(means.scripts, allow_private=means.allow_private),
    templated_text=SQL,
    once=True,
)
adbc = Plugin(
    tool=Adbc,
    make=lambda means: Adbc(means.scripts, allow_private=means.allow_private),
    templated_text=SQL,
)
snowflake = Plugin(
    tool=Snowflake,
    make=lambda means: Snowflake(means.scripts, allow_private=means.allow_private),
    needs=("adbc_driver_snowflake",),
    extra="snowflake",
    templated_text=SQL,
)
kafka = Plugin(
    tool=Kafka,
    make=lambda means: Kafka(means.brokers, means.kafka),
    aliases={
        "action": "operation", "message": "value", "messages": "values", "records": "values",
        "from": "start", "to": "stop",
    },
)  # fmt: skip
nats = Plugin(
    tool=Nats,
    make=lambda means: Nats(allow_private=means.allow_private),
    needs=("nats",),
    extra="nats",
    aliases={"action": "operation", "data": "value", "payload": "value", "message": "value"},
)
subscription = Plugin(
    tool=Subscription,
    make=lambda means: Subscription(means.brokers, means.kafka),
    aliases={"action": "operation", "max_messages": "batch", "messages": "ids"},
)
object_ = Plugin(
    tool=Object,
    make=lambda means: Object(allow_private=means.allow_private, files=means.files),
    aliases={
        "action": "operation", "op": "operation", "path": "key", "object": "key", "prefix": "key",
        "data": "body", "content": "body", "value": "body",
    },
)  # fmt: skip
mcp = Plugin(
    tool=Mcp,
    make=lambda means: Mcp(allow_private=means.allow_private),
    needs=("mcp",),
    extra="mcp",
    aliases={"server": "endpoint", "url": "endpoint", "args": "arguments"},
)
shell = Plugin(
    tool=Shell, make=lambda means: Shell(means.scratch), aliases={"cmd": "command", "argv": "command"}
)
script = Plugin(tool=ScriptTool, make=lambda means: ScriptTool(means.scripts, means.scratch))
container = Plugin(tool=Container, make=lambda means: Container(means.containers))
callback = Plugin(tool=CallbackTool, make=lambda means: CallbackTool(Http(means.client)))
approve = Plugin(tool=Approve, make=lambda means: Approve(Http(means.client)))
wait = Plugin(tool=Wait, make=lambda _: Wait(), aliases={"duration": "seconds"})

transfer = Plugin(
    tool=Transfer,
    make=lambda means: Transfer(
        duckdb_settings=means.duckdb_settings,
        allow_private=means.allow_private,
        files=means.files,
        brokers=means.brokers,
        kafka=means.kafka,
    ),
    templated_text=frozenset({"query"}),
    once=True,
    ends=ENDS,
)
wasm = Plugin(
    tool=Wasm,
    make=lambda means: Wasm(means.files, memory=means.task_memory),
    needs=("wasmtime",),
    extra="wasm",
)
system = Plugin(tool=System, make=lambda means: System(means.chores))

BUILTIN = {
    plugin.tool.kind: plugin
    for plugin in (
        python, polars, duckdb, ducklake, sqlite, postgres, adbc, snowflake, object_, kafka, nats, subscription, mcp,
        http, playbook, noop, artifact, result_fetch, shell, script, container, transfer, wait, callback, approve,
        wasm, system,
    )
}  # fmt: skip


def plugins() -> Mapping[str, Plugin]:
    """Ours, and those of installed distributions. A plugin may not take the name of one of ours; a broken one is left out."""
    found = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILTIN}
    loaded = {name: _loaded(entry) for name, entry in found.items()}
    return BUILTIN | {name: plugin for name, plugin in loaded.items() if plugin is not None}


def kinds() -> Mapping[str, Kind]:
    """What the language must know of every kind that can run here."""
    return {name: plugin.kind for name, plugin in plugins().items()}


def builtin_tools(means: Means) -> Mapping[str, Tool]:
    """Every tool, by kind, ready to run."""
    return {name: plugin.make(means) for name, plugin in plugins().items()}


def _loaded(entry: EntryPoint) -> Plugin | None:
    try:
        plugin = entry.load()
    except Exception:
        log.exception(
            "the tool plugin '%s' (%s) cannot be loaded; mend or remove it", entry.name, entry.value
        )
        return None
    if not isinstance(plugin, Plugin):
        log.error("the tool plugin '%s' (%s) is no Plugin; mend or remove it", entry.name, entry.value)
        return None
    return plugin
