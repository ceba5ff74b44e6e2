"""The kinds of tools and their own keys, in words as their models have them: for the documents and `noetl-stream tools`."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from noetl_stream.dsl.kinds import EXTRAS
from noetl_stream.editor.words import TOOLS
from noetl_stream.ports.tools import Kind

_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "flag",
    dict: "mapping",
    list: "list",
    datetime: "moment",
    date: "day",
    Any: "anything",
}

Default: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `type` and `meaning` are Markdown; a `default` of None is none; `also` are older spellings."""

    name: str
    type: str
    required: bool
    default: Default
    meaning: str
    also: tuple[str, ...]

    @property
    def otherwise(self) -> str:
        """What holds where the key is left out; empty if nothing does."""
        if self.required:
            return "required"
        return "" if self.default is None else json.dumps(self.default).strip('"')

    @property
    def said(self) -> str:
        """The meaning with the older spellings that it does not name itself."""
        older = [f"`{old}`" for old in self.also if f"`{old}`" not in self.meaning]
        return f"{self.meaning} (also {', '.join(older)})" if older else self.meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A kind of the language. `nature` is None where nothing here can run it; `extra` is the pip extra that brings it."""

    kind: str
    nature: str | None
    installed: bool
    extra: str | None
    summary: str
    keys: tuple[Key, ...]


def listed(kinds: Mapping[str, Kind]) -> tuple[Listed, ...]:
    """All that are known, by name. What replaces itself before anything runs, a `workbook`, is always there."""
    return tuple(_listed(name, kinds.get(name)) for name in sorted({*EXTRAS, *kinds}))


def _listed(name: str, kind: Kind | None) -> Listed:
    return Listed(
        kind=name,
        nature=kind.nature if kind else None,
        installed=kind.installed if kind else name == "workbook",
        extra=(kind.extra if kind else None) or EXTRAS.get(name),
        summary=summary_of(name, kind),
        keys=keys_of_kind(kind) if kind else (),
    )


def summary_of(name: str, kind: Kind | None) -> str:
    """What a kind does; a plugin says it itself."""
    return TOOLS.get(name) or (kind.summary if kind else "") or "A plugin's."


def keys_of_kind(kind: Kind) -> tuple[Key, ...]:
    """In the order of the model; none for a kind without one."""
    fields = kind.config.model_fields if kind.config is not None else {}
    return tuple(_key(name, each, kind) for name, each in fields.items())


def _key(name: str, field: FieldInfo, kind: Kind) -> Key:
    return Key(
        name=name,
        type=words_of_type(field.annotation),
        required=field.is_required(),
        default=_default(field.default),
        meaning=field.description or "",
        also=tuple(old for old, new in kind.aliases.items() if new == name),
    )


def words_of_type(annotation: Any) -> str:
    """`text or list of text`, `` `{uri, source}` `` for a model, the words themselves for a choice.

    A type that only a plugin has is called as in Python.
    """
    words = dict.fromkeys(_types(annotation))
    if _WORDS[float] in words:
        words.pop(_WORDS[int], None)
    return " or ".join(words)


def _types(annotation: Any) -> Iterator[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for each in inner:
            yield from _types(each)
    elif origin is Literal:
        yield " · ".join(f"`{word}`" for word in inner)
    elif origin is Annotated:
        yield from _types(inner[0])
    elif origin is list:
        yield "list" if inner[0] is Any else f"list of {_one(inner[0])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield _mapping(annotation)
    elif annotation is not types.NoneType:
        kind = origin or annotation
        yield _WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def _one(annotation: Any) -> str:
    words = words_of_type(annotation)
    return f"({words})" if " or " in words else words


def _mapping(model: type[BaseModel]) -> str:
    names = (field.alias or name for name, field in model.model_fields.items())
    return "`{" + ", ".join(names) + "}`"


def _default(value: Any) -> Default:
    """None, an empty text and what a factory makes are as good as nothing."""
    return value if isinstance(value, bool | int | float) or (value and isinstance(value, str)) else None
