"""`dlq … --where`: a condition over a dead letter, in the playbooks' own language."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest

if TYPE_CHECKING:
    from noetl_stream.wire.letters import Letter

_NAMES = ("reason", "playbook", "payload", "key", "topic", "partition", "offset", "at", "age", "redriven")

Condition: TypeAlias = Callable[["Letter"], bool]


def condition_of(text: str | None) -> Condition:
    """A condition as a playbook would write it. Raises InvalidRequest naming what it cannot read."""
    if text is None:
        return lambda _: True
    from noetl_stream.dsl.report import suggest
    from noetl_stream.dsl.templates import BadTemplate, has_template, template, truth

    try:
        compiled = template(text if has_template(text) else f"{{{{ {text} }}}}")
    except BadTemplate as error:
        raise InvalidRequest(f"--where {text}: {error}") from error
    for path in compiled.reads:
        if path[0] not in _NAMES:
            hint = suggest(path[0], _NAMES) or f"use {', '.join(_NAMES)}"
            raise InvalidRequest(f"--where {text}: a letter has no '{path[0]}'; {hint}")

    def holds(letter: Letter) -> bool:
        try:
            return truth(compiled.evaluate(_names(letter)))
        except Exception as error:
            raise InvalidRequest(
                f"--where {text}: {error}, at the letter with offset {letter.offset}"
            ) from error

    return holds


def _names(letter: Letter) -> dict[str, Value]:
    said = asked(letter)
    return {
        "reason": letter.reason,
        "playbook": said.get("playbook"),
        "payload": said.get("payload"),
        "key": as_text(letter.key),
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.offset,
        "at": letter.at,
        "age": time.time() - letter.at,
        "redriven": letter.redriven,
    }


def asked(letter: Letter) -> dict[str, Any]:
    """The request that a letter holds, if it is one."""
    from noetl_stream.intake import parse

    try:
        request = parse(letter.value or b"")
    except InvalidRequest:
        return {}
    return {"playbook": request.playbook, "payload": request.payload}


def as_text(value: bytes | None) -> str | None:
    """Text as it is; other bytes in hex."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
