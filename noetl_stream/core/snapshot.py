"""A machine's state as JSON and back, for checkpoints; and its hash, for every law about the fold.

Types are written by name from a closed list: nothing in a checkpoint can name a class of its own.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import fields, replace
from functools import cache
from hashlib import blake2b
from typing import Any

from noetl_stream.core import block, done, events, execution, partition, past, run, values

_LONG = 2**63
"""Bitsets beyond this travel in hex: Python refuses to write very long integers in decimal."""

_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        block.Block,
        done.DoneSet,
        done.Ended,
        done.Hour,
        events.BlockContested,
        events.Callback,
        events.CallbackReceived,
        events.CancelRequested,
        events.Child,
        events.ExecutionEnded,
        events.ExecutionRequested,
        events.Fork,
        events.Parent,
        events.Sleep,
        execution.Execution,
        past.Past,
        run.Batch,
        run.Token,
        partition.Partition,
        run.Finished,
        run.Run,
        values.Elsewhere,
        values.Error,
        values.Piped,
        values.Ref,
    )
}


def dump(state: object) -> bytes:
    """A state as canonical JSON: equal states give equal bytes."""
    return json.dumps(_plain(state), separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def load(text: bytes) -> Any:
    """The state that `dump` wrote."""
    return _thaw(json.loads(text))


@cache
def shape() -> str:
    """What tells the states of this release from those of others, whose missing fields no default may stand for."""
    parts: dict[str, Any] = {
        name: [f"{field.name}: {field.type}" for field in fields(cls)] for name, cls in _CLASSES.items()
    }
    return state_hash(dict(sorted(parts.items())) | {"BlockId": list(events.BlockId._fields)})


def state_hash(state: object) -> str:
    return blake2b(dump(state), digest_size=16).hexdigest()


def _plain(value: object) -> Any:
    match value:
        case int() if abs(value) > _LONG:
            return {"@": "int", "of": hex(value)}
        case None | bool() | int() | float() | str():
            return value
        case events.BlockId():
            return {"@": "BlockId", "of": list(value)}
        case tuple():
            return {"@": "tuple", "of": [_plain(v) for v in value]}
        case list():
            return [_plain(v) for v in value]
        case array():
            return {"@": "array", "of": [value.typecode, value.tolist()]}
        case dict():
            return _plain_dict(value)
        case partition.Partition():
            # Machines know nothing of one another: one that slept and woke is where it was.
            return _plain_record(replace(value, machines=dict(sorted(value.machines.items()))))
        case _:
            return _plain_record(value)


def _plain_record(value: Any) -> Any:
    return {"@": type(value).__name__, "of": {f.name: _plain(getattr(value, f.name)) for f in fields(value)}}


def _plain_dict(value: dict[Any, Any]) -> Any:
    """Insertion order is state, so it is kept; keys that JSON has not, and a key of ours, travel as pairs."""
    if "@" not in value and all(isinstance(k, str) for k in value):
        return {k: _plain(v) for k, v in value.items()}
    return {"@": "dict", "of": [[_plain(k), _plain(v)] for k, v in value.items()]}


def _thaw(value: Any) -> Any:
    if isinstance(value, list):
        return [_thaw(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "@" not in value:
        return {k: _thaw(v) for k, v in value.items()}
    return _thaw_tagged(value["@"], value["of"])


def _thaw_tagged(tag: str, of: Any) -> Any:
    match tag:
        case "BlockId":
            return events.BlockId(*of)
        case "int":
            return int(of, 16)
        case "tuple":
            return tuple(_thaw(v) for v in of)
        case "array":
            return array(of[0], of[1])
        case "dict":
            return {_thaw(k): _thaw(v) for k, v in of}
        case _:
            return _CLASSES[tag](**{name: _thaw(v) for name, v in of.items()})
