"""Hypothesis strategies for every kind of record, drawn from the fields' own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from noetl_stream.core.values import Ref
from noetl_stream.wire.records import Request

longs = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
keys = st.text(max_size=5) | st.sampled_from(["__ref__", "__ref__~", "__ref__~~", '"__ref__', "a__ref__"])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | refs(inner)


def _nested_plain(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)


def refs(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Ref]:
    return st.builds(
        Ref,
        uri=st.text(max_size=5),
        bytes=longs,
        sha256=st.text(max_size=5),
        format=st.sampled_from(["json", "arrow"]),
        rows=st.none() | longs,
        schema=st.none() | st.text(max_size=5),
        parts=st.dictionaries(keys, parts, max_size=2),
    )


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | doubles | st.text(max_size=5)
plain_values = st.recursive(scalars, _nested_plain, max_leaves=8)
values = st.recursive(scalars, _nested, max_leaves=8)

_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    Any: values,
    NoneType: st.none(),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    float: doubles,
    int: longs,
    str: st.text(max_size=8),
    Ref: refs(scalars),
}


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, UnionType):
        return st.one_of(*map(of, args))
    if origin is tuple:
        return st.lists(of(args[0]), max_size=3).map(tuple)
    if origin is list:
        return st.lists(of(args[0]), max_size=3)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(keys, of(args[1]), max_size=3)
    return record(hint)


def record(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any record of a kind: a dataclass, or a named tuple."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(hints)
    drawn = {name: of(hints[name]) for name in names}
    if kind is Request:
        drawn["payload"] = plain_values
    return st.builds(kind, **drawn)
