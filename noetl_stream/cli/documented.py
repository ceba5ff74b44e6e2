"""The report as docs/report.md promises it: fixed keys, times as ISO 8601 in UTC, references said where not fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from noetl_stream.core.events import BlockId
from noetl_stream.core.values import Piped, Ref, Value


def documented(report: Mapping[str, Value]) -> dict[str, Value]:
    """A story's report with readable times."""
    return {**report, **{key: iso(report[key]) for key in ("started_at", "finished_at")}}


def iso(seconds: float | None) -> str | None:
    """`2026-01-31T12:00:00.123Z`."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def as_json(value: Any) -> str:
    """Indented JSON; what is no JSON is written as `plain` writes it."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2)


def plain(value: Any) -> Value:
    """Our frozen values as JSON: a reference as `{"_ref", "rows", "bytes"}`, a block as `step/epoch/iteration`."""
    match value:
        case Ref():
            return {"_ref": value.uri, "format": value.format, "rows": value.rows, "bytes": value.bytes}
        case BlockId():
            return str(value)
        case Piped():
            return plain(value.value)
        case dict():
            return {key if isinstance(key, str) else str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value
