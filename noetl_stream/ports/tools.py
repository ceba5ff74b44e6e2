"""The contract of a tool: a strict config model, a nature, and one coroutine. Built-ins and plugins register alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel

from noetl_stream.core.events import Wait
from noetl_stream.core.values import Value
from noetl_stream.ports.credentials import Secret

Nature = Literal["pure", "read", "write"]
"""pure: recompute from recorded inputs; read: looks at the outside world; write: changes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of one task. Templates are rendered; referenced inputs arrive as JSON or as a `ports.frames.Frame`.

    `input` are the task's bound inputs. `context` is what a python task may look up beyond them (workload keys, ctx,
    results of steps that have one). `effect_key` is the idempotency key of this task's write: the same after any retry
    or redelivery. `timeout` is in seconds; the tool must end by then and clean up after itself when cancelled.
    `hosts` are the only ones the playbook lets its tasks call, as `name` or `*.name`, perhaps with a port; None: any.
    `credentials` are those that its `auth` names, by name, in the document's order: the first is the tool's own.
    `once` says that the effect happens exactly once: the tool stores `effect_key` and its result with the effect itself.
    `callback` is the token that answers this task, should it park for a Callback.
    `answer` is set when a parked task goes on: what it waited for.
    """

    config: Any = field(repr=False)
    input: Mapping[str, Value] = field(repr=False)
    context: Mapping[str, Value]
    effect_key: str
    timeout: float | None
    execution: int
    answer: Value = None
    answered: bool = False
    once: bool = False
    hosts: tuple[str, ...] | None = None
    credentials: Mapping[str, Secret] = field(default_factory=dict)
    callback: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A tool's success. `value` is JSON in which a pyarrow Table or a Polars frame may stand anywhere.

    `http` is the head of an answer ({"status", "headers"}) for `output.http`.
    """

    value: Any
    http: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The tool waits for something outside and gives its slot back; it is called again with `Call.answer`."""

    wait: Wait


class Tool(Protocol):
    """One kind. `run` raises ToolError for what the outside world did; anything else it raises is a fault and
    becomes `error.kind: python` with the traceback. A `ToolError` may carry `value`: what it returned all the same."""

    kind: ClassVar[str]
    nature: ClassVar[Nature]
    config: ClassVar[type[BaseModel]]

    async def run(self, call: Call) -> Done | Park: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the language must know of a tool kind, whether or not it can run here.

    `templated_text` names config keys that hold program text (`code`, `query`): rendered by their own rules.
    `extra` is the pip extra that brings it; `installed` tells whether it can run here. `aliases` maps older
    spellings of config keys to canonical ones. `once` tells whether it can keep `effects: exactly_once`. `ends` are config
    keys that hold a mapping with an `auth` of its own, whose credential is given under the key's name.
    `summary` is a plugin's own sentence for people; ours stand in `editor.words`.
    """

    name: str
    config: type[BaseModel] | None
    nature: Nature
    installed: bool = True
    extra: str | None = None
    summary: str = ""
    templated_text: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    ends: tuple[str, ...] = ()
