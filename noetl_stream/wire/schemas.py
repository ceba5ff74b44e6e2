"""The released Avro schemas, loaded from the package when first asked for. A released one is never edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fastavro import parse_schema
from fastavro.schema import fingerprint, to_parsing_canonical_form


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One version of one kind of record. `fingerprint` is CRC-64-AVRO in the byte order of a record's head."""

    kind: str
    version: int
    fingerprint: bytes
    text: str
    fields: tuple[Mapping[str, Any], ...]
    parsed: Any


def parse(text: str) -> Schema:
    """Read a schema's JSON. Raises ValueError if it is not a record schema that carries our `version`."""
    try:
        declared = json.loads(text)
        return Schema(
            kind=declared["name"].rpartition(".")[2],
            version=int(declared["version"]),
            fingerprint=_fingerprint(declared),
            text=text,
            fields=tuple(declared["fields"]),
            parsed=parse_schema(declared),
        )
    except Exception as error:  # fastavro names what is wrong with a schema by a dozen types
        raise ValueError(f"not a versioned Avro record schema: {error!r}") from error


@cache
def released() -> tuple[Schema, ...]:
    """Every schema of this release, by kind, then version."""
    folder = files("noetl_stream") / "schemas"
    texts = (file.read_text() for file in folder.iterdir() if file.name.endswith(".avsc"))
    return tuple(sorted(map(parse, texts), key=lambda schema: (schema.kind, schema.version)))


@cache
def newest() -> Mapping[str, Schema]:
    """The version that this release writes, by kind."""
    return {schema.kind: schema for schema in released()}


def _fingerprint(declared: dict[str, Any]) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(declared), "CRC-64-AVRO"))
