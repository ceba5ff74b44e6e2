"""How a template reads values: mapping keys and list indexes, never attributes; results and envelopes leniently.

A reference answers only from its `parts`, whose keys are paths joined by dots (a dot in a key is written `~1`, a tilde
`~0`), relative to the result; "" is the whole value, and a path followed by "?" says that nothing stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from jinja2 import ChainableUndefined
from jinja2.filters import _GroupTuple
from jinja2.runtime import LoopContext
from jinja2.utils import Namespace

from noetl_stream.core.plan import Path
from noetl_stream.core.values import (
    Brought,
    Envelope,
    NeedsPayload,
    Piped,
    Ref,
    Result,
    Value,
    marked,
    unmarked,
)

LOOP_KEYS = frozenset(
    {
        "index",
        "index0",
        "revindex",
        "revindex0",
        "first",
        "last",
        "length",
        "depth",
        "depth0",
        "previtem",
        "nextitem",
        "cycle",
        "changed",
    }
)
KV_BYTES = 1024 * 1024
"""A result up to this size counts as `kv`."""
PREVIEW = "_preview"
_MISSING = object()
_RESULTS = frozenset({"data", "response", "result"})


class Nothing(ChainableUndefined):
    """Undefined: falsy, empty, and any look-up on it is undefined again."""

    __slots__ = ()
    __hash__ = ChainableUndefined.__hash__


def is_frame(value: object) -> bool:
    """Whether this is a `ports.frames.Frame`: rows by position, but no list."""
    return hasattr(type(value), "arrow") and hasattr(type(value), "__getitem__")


def follow(value: Any, keys: tuple[Any, ...]) -> Any:
    """The value under `keys`, still marked if it is a result; `Nothing` if there is none.

    Raises NeedsPayload if a reference stands in the way.
    """
    for position, key in enumerate(keys):
        if type(value) is dict:
            found = value.get(key, _MISSING)
        else:
            if (ref := _behind(value, key)) is not None:
                return _of_ref(ref, keys[position:])
            found = _step(value, key)
        if found is _MISSING:
            return Nothing(name=str(key))
        value = found
    return value


def scalar(key: Any) -> Any:
    """A computed key. Raises TypeError for a collection: finding one would take as long as it is large."""
    if isinstance(key, list | tuple | Mapping):
        raise TypeError(f"a key is text or a number, not a {type(key).__name__}")
    return key


def plain(value: Any) -> Any:
    """The value without marks. Raises NeedsPayload for a reference, unless its parts hold the whole."""
    value = whole(value)
    if type(value) is Ref:
        if "" not in value.parts:
            raise NeedsPayload(value.uri)
        return value.parts[""]
    return value


def whole(value: Any) -> Any:
    """The value without marks; a reference stays one."""
    match value:
        case Result():
            return value.value
        case Envelope():
            return {key: whole(each) for key, each in value.fields.items()}
        case Piped() | Brought():
            return unmarked(value)
        case _:
            return value


def parts_of(value: Value, paths: Iterable[Path], limit: int) -> dict[str, Value]:
    """What of a result goes into its reference's `parts`: the values at `paths`, as templates would read them.

    `limit` bounds each value's JSON text, in bytes; what is larger, or itself behind a reference, is left out.
    """
    from noetl_stream.dsl.filters import json_text
    from noetl_stream.dsl.native import native

    parts: dict[str, Value] = {}
    for path in sorted(paths):
        try:
            found = preview(unmarked(value)) if path[:1] == (PREVIEW,) else value_at(value, path)
            if isinstance(found, ChainableUndefined):
                parts[f"{part_key(path)}?"] = False
                continue
            found = native(plain(found))
            if len(json_text(found).encode()) <= limit:
                parts[part_key(path)] = found
        except NeedsPayload:
            continue
    return parts


def part_key(path: Iterable[str]) -> str:
    """The name of a path in `Ref.parts`."""
    return ".".join(segment.replace("~", "~0").replace(".", "~1") for segment in path)


def value_at(value: Value, path: Path) -> Any:
    """What a template would read of a result at a path. Raises NeedsPayload."""
    found: Any = marked(value)
    for segment in path:
        inner = follow(found, (segment,))
        if isinstance(inner, ChainableUndefined) and segment.lstrip("-").isdigit():
            inner = follow(found, (int(segment),))
        found = inner
    return found


def _behind(value: Any, key: Any) -> Ref | None:
    """The reference that must answer `key`, if one does."""
    match value:
        case Ref():
            return value
        case Result(tasks=Mapping()) if key == "results" and not _has(value.value, key):
            return None
        case Result(value=Ref() as ref):
            return ref
        case Envelope(fields=fields) if key not in fields:
            return _as_ref(fields.get("data"))
        case Result(value=Mapping() as own) if isinstance(key, str) and key != "data" and key not in own:
            return _as_ref(own.get("data"))
        case Result(value=Mapping() as own) if type(key) is int and _is_table(own):
            return _as_ref(own["rows"])
        case _:
            return None


def _as_ref(value: Any) -> Ref | None:
    value = whole(value)
    return value if isinstance(value, Ref) else None


def _of_ref(ref: Ref, keys: tuple[Any, ...]) -> Any:
    if keys[0] in _ABOUT:
        return follow(_ABOUT[keys[0]](ref), keys[1:])
    segments = [str(key) for key in keys]
    for length in range(len(segments), -1, -1):
        prefix = part_key(segments[:length])
        if f"{prefix}?" in ref.parts:
            return Nothing(name=segments[-1])
        if prefix in ref.parts:
            part, rest = ref.parts[prefix], keys[length:]
            found = follow(part if length else Result(part), rest)
            # Behind `.data` a result may be lenient once more: only the payload can tell.
            if isinstance(found, Nothing) and segments[0] in _RESULTS:
                break
            return found
    raise NeedsPayload(f"{ref.uri}: {'.'.join(segments)}")


def _step(value: Any, key: Any) -> Any:
    match value:
        case Result():
            found = _of_result(value.value, key)
            return _beside(value, key) if found is _MISSING else found
        case Envelope():
            return _of_envelope(value.fields, key)
        case Mapping():
            return value.get(key, _MISSING)
        case _GroupTuple() if key in ("grouper", "list"):
            return getattr(value, key)
        case list() | tuple() | str() | range():
            return _of_sequence(value, key)
        case LoopContext():
            return getattr(value, key) if key in LOOP_KEYS else _MISSING
        case Namespace():
            # Its own __getattribute__ answers from the names assigned to it, never from the object.
            return getattr(value, key, _MISSING) if _is_public(key) else _MISSING
        case _:
            return _of_frame(value, key) if is_frame(value) else _MISSING


def _of_frame(value: Any, key: Any) -> Any:
    return _ABOUT[key](value.ref) if key in ("_ref", "_store") else _of_sequence(value, key)


def _is_public(key: object) -> bool:
    return isinstance(key, str) and not key.startswith("_")


def _of_result(value: Any, key: Any) -> Any:
    if not isinstance(value, Mapping):
        return Result(value) if key == "data" else _step(value, key)
    if isinstance(key, slice):
        return _of_sequence(value["rows"], key) if _is_table(value) else _MISSING
    if key in value:
        return value[key]
    if key == "data":
        return Result(value)
    inner = value.get("data")
    if isinstance(inner, Mapping) and key in inner:
        return inner[key]
    if type(key) is int and _is_table(value):
        return follow(value["rows"], (key,))
    return _MISSING


def _has(value: Any, key: str) -> bool:
    """Whether a result has a key of its own, as far as that is known here."""
    if isinstance(value, Ref):
        return key in value.parts or any(part.startswith(f"{key}.") for part in value.parts)
    return isinstance(value, Mapping) and key in value


def _beside(result: Result, key: Any) -> Any:
    """What is known of a result beyond its own keys: the tasks of its pipeline, and where it was stored."""
    if key == "results" and result.tasks is not None:
        return result.tasks
    if result.ref is None:
        return _MISSING
    if key == PREVIEW:
        return preview(result.value)
    if key in _ABOUT:
        return _ABOUT[key](result.ref)
    # What was selected stands beside the reference under a name of its own.
    return result.ref.parts.get(part_key((key,)), _MISSING) if isinstance(key, str) and key else _MISSING


def preview(value: Value) -> Value:
    """The beginning of an externalised result: three elements or rows, or 200 characters."""
    match value:
        case str():
            return value[:200]
        case Mapping():
            return {key: preview(each) for key, each in islice(value.items(), 20)}
        case list():
            return [preview(each) for each in value[:3]]
        case _:
            return [dict(row) for row in islice(value, 3)] if is_frame(value) else value


def _is_table(value: Mapping[str, Any]) -> bool:
    return "rows" in value and "row_count" in value


def _of_envelope(fields: Mapping[str, Any], key: Any) -> Any:
    if key in fields:
        found = fields[key]
        return marked(found) if key in _RESULTS and type(found) is not Result else found
    return _in_data(fields.get("data"), key)


def _in_data(found: Any, key: Any) -> Any:
    """What an envelope answers from its data: a key of it, or what is known beside it."""
    own = found if type(found) is Result else marked(found)
    inner = own.value
    return inner[key] if isinstance(inner, Mapping) and key in inner else _beside(own, key)


def _store_of(ref: Ref) -> str:
    """Where a result lives, in the words of `result.store.kind`."""
    return ref.store or ("kv" if ref.bytes <= KV_BYTES else "disk")


_ABOUT: Mapping[str, Callable[[Ref], str]] = {"_ref": lambda ref: ref.uri, "_store": _store_of}
"""What an externalised result tells of itself."""


def _of_sequence(value: Any, key: Any) -> Any:
    if type(key) is int:
        size = len(value)
        return value[key if key >= 0 else size + key] if -size <= key < size else _MISSING
    if isinstance(key, slice):
        if is_frame(value):
            return [dict(value[index]) for index in range(*key.indices(len(value)))]
        return value[key]
    return _MISSING
