"""How a value lies in an Avro record. The released schema decides the form; the class only names the fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from noetl_stream.core.events import (
    BlockId,
    Callback,
    Child,
    CredentialUse,
    Fork,
    Parent,
    Retry,
    Sleep,
    Target,
)
from noetl_stream.core.values import Error
from noetl_stream.wire.records import Record, Sealed
from noetl_stream.wire.values import decode_plain, decode_value, encode_plain, encode_value

Row: TypeAlias = dict[str, Any]
"""A record as fastavro takes and gives it."""

Convert: TypeAlias = Callable[[Any], Any]

RECORDS: Mapping[str, type[Record]] = {kind.__name__: kind for kind in get_args(Record)}
PARTS = {
    part.__name__: part
    for part in (BlockId, Callback, Child, CredentialUse, Error, Fork, Parent, Retry, Sealed, Sleep, Target)
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows to values and back. Fields of the schema that the class lacks are reserved: never written, never read."""

    make: Callable[..., Any]
    names: tuple[str, ...]
    reserved: tuple[str, ...]
    inward: tuple[tuple[str, Convert], ...]
    outward: tuple[tuple[str, Convert], ...]

    def row(self, value: object) -> Row:
        row = {name: getattr(value, name) for name in self.names}
        for name, convert in self.inward:
            row[name] = convert(row[name])
        return row

    def value(self, row: Row) -> Any:
        """Consumes the row. What an upcaster left out takes the class's default."""
        for name in self.reserved:
            row.pop(name, None)
        for name, convert in self.outward:
            if name in row:
                row[name] = convert(row[name])
        return self.make(**row)


class Layouts:
    """Builds layouts from schemas. `encode` and `decode` serve the fields that hold whole records as bytes: a decision's
    moves, a report's facts."""

    def __init__(
        self, encode: Callable[[Any], bytes], move: Callable[[bytes], Any], fact: Callable[[bytes], Any]
    ) -> None:
        self._logical: Mapping[str, tuple[Convert, Convert]] = {
            "json": (encode_value, decode_value),
            "plain-json": (encode_plain, decode_plain),
            "single-object": (encode, move),
            "block-fact": (encode, fact),
        }

    def of(self, kind: str, fields: Sequence[Mapping[str, Any]]) -> Layout:
        """The layout of a kind under these fields of a schema. Raises LookupError for a field that would be lost."""
        cls: Any = RECORDS.get(kind) or PARTS[kind]
        own = frozenset(getattr(cls, "_fields", None) or cls.__dataclass_fields__)
        if lost := own.difference(field["name"] for field in fields):
            raise LookupError(
                f"the schema of {kind} lacks {', '.join(sorted(lost))}; release its next version"
            )
        converts = {f["name"]: c for f in fields if f["name"] in own and (c := self._convert(f["type"]))}
        return Layout(
            make=cls,
            names=tuple(field["name"] for field in fields if field["name"] in own),
            reserved=tuple(field["name"] for field in fields if field["name"] not in own),
            inward=tuple((name, inward) for name, (inward, _) in converts.items()),
            outward=tuple((name, outward) for name, (_, outward) in converts.items()),
        )

    def _convert(self, declared: Any) -> tuple[Convert, Convert] | None:
        match declared:
            case {"logicalType": logical}:
                return self._logical[logical]
            case {"type": "record", "name": name, "fields": fields}:
                layout = self.of(name, fields)
                return layout.row, layout.value
            case {"type": "array", "items": items} if each := self._convert(items):
                return _each(*each)
            case {"type": "array"}:
                return list, tuple
            case ["null", inner]:
                return _optional(self._convert(inner))
            case [*branches]:
                return self._union(branches)
            case _:
                return None

    def _union(self, branches: Sequence[Mapping[str, Any]]) -> tuple[Convert, Convert]:
        """Records side by side: fastavro takes and gives them as (full name, row)."""
        layouts = {branch["name"]: self.of(branch["name"], branch["fields"]) for branch in branches}

        def inward(found: object) -> tuple[str, Row]:
            name = type(found).__name__
            return f"noetl.{name}", layouts[name].row(found)

        def outward(found: tuple[str, Row]) -> Any:
            name, row = found
            return layouts[name.removeprefix("noetl.")].value(row)

        return inward, outward


def _optional(converts: tuple[Convert, Convert] | None) -> tuple[Convert, Convert] | None:
    if converts is None:
        return None
    inward, outward = converts
    return (
        lambda found: None if found is None else inward(found),
        lambda found: None if found is None else outward(found),
    )


def _each(inward: Convert, outward: Convert) -> tuple[Convert, Convert]:
    return (lambda found: [*map(inward, found)], lambda found: (*map(outward, found),))
