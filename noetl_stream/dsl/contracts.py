"""What a step's output must look like (dsl: data contract), compiled from its `expect` block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from noetl_stream.core.plan import Expression
from noetl_stream.dsl.expressions import compile_number, compile_value
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.schema import FLAG, TEXT
from noetl_stream.dsl.shapes import Keys
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template, truth

Family: TypeAlias = Literal[
    "integer", "number", "decimal", "text", "boolean", "date", "datetime", "time", "duration", "list",
    "mapping", "binary", "any",
]  # fmt: skip
Verdict: TypeAlias = Literal["fail", "quarantine", "warn"]

_SIZES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FAMILIES: Final[Mapping[str, Family]] = {
    **dict.fromkeys(("int", "integer", "long", "bigint", "smallint", "tinyint", *_SIZES), "integer"),
    **dict.fromkeys(
        ("float", "double", "real", "number", "float32", "float64", "double precision"), "number"
    ),
    **dict.fromkeys(("decimal", "numeric"), "decimal"),
    **dict.fromkeys(("str", "string", "text", "varchar", "char", "utf8", "uuid"), "text"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    "date": "date",
    **dict.fromkeys(("datetime", "timestamp", "timestamptz"), "datetime"),
    "time": "time",
    **dict.fromkeys(("duration", "interval"), "duration"),
    **dict.fromkeys(("list", "array"), "list"),
    **dict.fromkeys(("object", "mapping", "map", "dict", "struct"), "mapping"),
    **dict.fromkeys(("binary", "bytes", "blob"), "binary"),
    **dict.fromkeys(("any", "json"), "any"),
}
"""What a column may be called, and the family of types that it stands for."""
_COLUMN = Keys(keys={"type": TEXT, "nullable": FLAG, "unique": FLAG})
_NAME = re.compile(r"([a-z0-9 ]+?)\s*(?:[(\[<].*[)\]>])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """A declared type. `bits` bounds an integer, `signed` or not."""

    family: Family
    word: str
    bits: int | None = None
    signed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What holds of a table: types by column, columns without nulls, sets of columns without repetition, SQL conditions.

    `checks` yields the conditions, `texts` are they as written; `least` and `most` yield numbers of rows.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    not_null: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    checks: Expression | None = None
    texts: tuple[str, ...] = ()
    least: Expression | None = None
    most: Expression | None = None
    on_violation: Verdict = "fail"
    place: str = ""


def compile_contract(node: Node | None, site: Site) -> Contract | None:
    """An `expect` block whose shape has been checked."""
    if node is None:
        return None
    columns = node.get("schema")
    entries = columns.mapping if columns else {}
    on_violation = node.get("on_violation")
    return Contract(
        types=dict(_types(entries, site.at("schema"))),
        not_null=(*_names(node.get("not_null")), *_flagged(entries, "nullable", False)),
        unique=(
            *_sets(node.get("unique")),
            *((name,) for name in _flagged(entries, "unique", True)),
        ),
        **_bounds(node, site),
        on_violation=cast(Verdict, str(on_violation.value)) if on_violation else "fail",
        place=f"{site.subject} ({node.place})",
    )


def _bounds(node: Node, site: Site) -> dict[str, Any]:
    checks, least, most = node.get("checks"), node.get("rows", "min"), node.get("rows", "max")
    return {
        "checks": compile_value(checks, site.at("checks")) if checks else None,
        "texts": tuple(str(each.value) for each in checks.items) if checks else (),
        "least": compile_number(least, site.at("rows.min")) if least else None,
        "most": compile_number(most, site.at("rows.max")) if most else None,
    }


def _types(entries: Mapping[str, Node], site: Site) -> Iterator[tuple[str, ColumnType]]:
    for column, node in entries.items():
        if node.is_mapping:
            _check_column(node, site.at(column))
        named = node.get("type") if node.is_mapping else node
        if named is not None:
            yield column, _type(named, column, site)


def _check_column(node: Node, site: Site) -> None:
    _COLUMN.check(node, site)
    for key in ("nullable", "unique"):
        said = node.get(key)
        if said is not None and has_template(said.text or ""):
            site.report.error(
                f"{site.at(key).what} is true or false: columns are known before anything is rendered",
                said.place,
            )


def _type(node: Node, column: str, site: Site) -> ColumnType:
    word = " ".join(str(node.value).lower().split())
    match = _NAME.fullmatch(word)
    family = FAMILIES.get(match[1]) if match else None
    if family is None:
        site.report.error(
            f"{site.subject}: column '{column}' has the unknown type '{node.value}'",
            node.place,
            suggest(word, FAMILIES),
        )
        return ColumnType(family="any", word=word)
    sized = word if word in _SIZES else None
    bits = int(sized.removeprefix("u").removeprefix("int")) if sized else None
    return ColumnType(family=family, word=word, bits=bits, signed=not word.startswith("u"))


def _flagged(entries: Mapping[str, Node], key: str, value: bool) -> Iterator[str]:
    """Columns whose type is written out as `{type, nullable, unique}` and says so."""
    for column, node in entries.items():
        said = node.get(key) if node.is_mapping else None
        if said is not None and truth(said.value) is value:
            yield column


def _names(node: Node | None) -> Iterator[str]:
    for each in node.listed if node else ():
        yield str(each.value)


def _sets(node: Node | None) -> Iterator[tuple[str, ...]]:
    """Each column by itself; a list within the list is a combination of columns."""
    for each in node.listed if node else ():
        yield tuple(str(name.value) for name in each.items) if each.is_list else (str(each.value),)
