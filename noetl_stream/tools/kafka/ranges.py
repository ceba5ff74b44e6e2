"""From where to where a topic is read, as a playbook says it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Offsets

Start: TypeAlias = Offsets | int | Literal["earliest", "latest"]


def start_of(where: Any) -> Start:
    """An end of the log, milliseconds, or offsets. Raises ToolError if it is none of them."""
    return _place(where, "start")


def stop_of(where: Any) -> Offsets | int | None:
    """The same without the ends of the log; None is what is there now."""
    found = None if where is None else _place(where, "stop")
    if isinstance(found, str):
        raise ToolError(
            "`stop` is a time or `{partition: offset}`; leave it out to read all", kind="validation"
        )
    return found


def _place(where: Any, name: str) -> Start:
    try:
        match where:
            case "earliest":
                return "earliest"
            case "latest":
                return "latest"
            case dict():
                return {int(partition): int(offset) for partition, offset in where.items()}
            case datetime():
                return _milliseconds(where)
            case str():
                return _milliseconds(datetime.fromisoformat(where))
    except (ValueError, TypeError):
        pass
    raise ToolError(
        f"`{name}` is neither `earliest`, `latest`, a time in ISO 8601, nor `{{partition: offset}}`",
        kind="validation",
    )


def _milliseconds(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
