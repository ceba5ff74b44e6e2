"""What is released is for ever: schemas match the classes, are locked, and every older one can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib.resources import files
from io import BytesIO
from typing import Any, get_type_hints

import pytest
from fastavro import schemaless_reader, schemaless_writer
from fastavro.utils import generate_one

from noetl_stream.wire.layout import PARTS, RECORDS
from noetl_stream.wire.schemas import Schema, newest, parse, released
from noetl_stream.wire.values import decode_value

LOCK: dict[str, str] = json.loads((files("noetl_stream") / "schemas" / "released.json").read_text())


def name(schema: Schema) -> str:
    return f"{schema.kind} v{schema.version}"


def test_every_kind_of_record_has_a_schema_and_every_schema_a_kind() -> None:
    assert set(newest()) == set(RECORDS)


@pytest.mark.parametrize("schema", released(), ids=name)
def test_a_released_schema_is_never_edited(schema: Schema) -> None:
    """To change a record, add its next version beside this one, with an upcaster where Avro's rules do not do."""
    assert LOCK.get(name(schema)) == schema.fingerprint.hex(), (
        f'add to schemas/released.json: "{name(schema)}": "{schema.fingerprint.hex()}"'
    )


def test_no_released_schema_was_removed() -> None:
    assert set(LOCK) == {name(schema) for schema in released()}


@pytest.mark.parametrize("kind", RECORDS)
def test_versions_count_up_from_one_without_gaps(kind: str) -> None:
    versions = [schema.version for schema in released() if schema.kind == kind]

    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("kind", RECORDS)
def test_a_schema_has_the_fields_of_its_class_and_the_same_defaults(kind: str) -> None:
    for cls, declared in records_in({"name": kind, "fields": newest()[kind].fields}):
        expected = class_defaults(cls)
        found = {field["name"]: schema_default(field) for field in declared if field["name"] in expected}
        assert found == expected


@pytest.mark.parametrize("schema", released(), ids=name)
def test_what_a_class_lacks_is_reserved_and_may_be_left_out(schema: Schema) -> None:
    own = {field.name for field in fields(RECORDS[schema.kind])}

    for declared in schema.fields:
        assert declared["name"] in own or (declared["type"][0], declared["default"]) == ("null", None)


@pytest.mark.parametrize("schema", released(), ids=name)
def test_the_newest_version_reads_every_older_one(schema: Schema) -> None:
    body = BytesIO()
    schemaless_writer(body, schema.parsed, generate_one(schema.parsed))
    body.seek(0)

    assert schemaless_reader(body, schema.parsed, newest()[schema.kind].parsed) is not None


def test_a_fingerprint_is_the_one_of_the_specification() -> None:
    """A vector of Avro's own test suite. The lowest byte comes first, as in single-object encoding."""
    schema = parse('{"type": "record", "name": "foo", "version": 1, "fields": []}')

    assert int.from_bytes(schema.fingerprint, "little", signed=True) == -4824392279771201922


def records_in(declared: Any) -> Iterator[tuple[type[Any], list[Any]]]:
    """The classes that a schema spells out, itself and those within, each with its declared fields."""
    match declared:
        case {"name": name, "fields": declared_fields}:
            if cls := RECORDS.get(name) or PARTS.get(name):
                yield cls, declared_fields
                for field in declared_fields:
                    yield from records_in(field["type"])
        case {"items": inner}:
            yield from records_in(inner)
        case [*branches]:
            for branch in branches:
                yield from records_in(branch)


def class_defaults(cls: type[Any]) -> dict[str, Any]:
    if not is_dataclass(cls):
        return dict.fromkeys(get_type_hints(cls), MISSING)
    return {field.name: class_default(field) for field in fields(cls)}


def class_default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return [] if field.default == () else field.default


def schema_default(declared: Any) -> Any:
    if "default" not in declared:
        return MISSING
    if isinstance(declared["type"], dict) and "json" in declared["type"].get("logicalType", ""):
        return decode_value(declared["default"].encode())
    return declared["default"]
