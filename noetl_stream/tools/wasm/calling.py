"""The two ways in which a module is called: as a command with its input and output, or as a function over its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson
from wasmtime import Func, Memory, Store

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.warm.values import as_json, plain
from noetl_stream.tools.wasm.failing import invalid_result, no_entry, too_large

Exports: TypeAlias = dict[str, Any]
_U32: Final = 0xFFFF_FFFF


def input_json(given: Mapping[str, Value]) -> bytes:
    """The task's input as JSON; tables as lists of rows.

    Raises:
        ToolError: a value is not JSON.
    """
    try:
        return orjson.dumps(given, default=_rows)
    except TypeError as error:
        raise ToolError(
            "the input of the wasm task holds what is no JSON; give it JSON or tables", kind="validation"
        ) from error


def result_of(output: bytes | bytearray) -> Value:
    """The JSON value that the module yielded; null for nothing.

    Raises:
        ToolError: it is no JSON.
    """
    if not output.strip():
        return None
    try:
        return orjson.loads(output)
    except orjson.JSONDecodeError as error:
        raise invalid_result(f"is not JSON ({error})") from None


def signature(export: Any, store: Store) -> str | None:
    """A function's type as text; None for what is no function."""
    if not isinstance(export, Func):
        return None
    kind = export.type(store)
    results = [str(each) for each in kind.results]
    shown = results[0] if len(results) == 1 else f"({', '.join(results)})"
    return f"({', '.join(str(each) for each in kind.params)}) -> {shown}"


def over_memory(store: Store, exports: Exports, name: str, given: bytes, bound: int) -> bytes:
    """The bytes at the address (upper half) and of the length (lower half) that the function answers with.

    Raises:
        ToolError: there is no such place in its memory, or it holds more than `bound` bytes.
    """
    memory = exports.get("memory")
    if not isinstance(memory, Memory) or signature(exports.get("alloc"), store) != "(i32) -> i32":
        raise no_entry("exports no `memory`, or no `alloc(i32) -> i32`")
    place = exports["alloc"](store, len(given)) & _U32
    if place + len(given) > memory.data_len(store):
        raise invalid_result(f"cannot be asked for: `alloc` gave no room for {len(given):,} bytes")
    memory.write(store, given, place)
    answer = exports[name](store, place, len(given))
    start, size = answer >> 32 & _U32, answer & _U32
    if size > bound:
        raise too_large(bound)
    if start + size > memory.data_len(store):
        raise invalid_result(f"is said to stand at {start:,}, outside the module's memory")
    return bytes(memory.read(store, start, start + size))


def spelled(value: Value) -> str:
    """A value of an environment: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _rows(value: Any) -> Any:
    return as_json(value.arrow()) if hasattr(value, "arrow") else plain(value)
