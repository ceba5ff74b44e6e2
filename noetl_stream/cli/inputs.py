"""An execution's inputs from the command line: a JSON payload, and `--set key=value` over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidPlaybook, InvalidRequest


def inputs(payload: str | None, sets: Iterable[str]) -> Mapping[str, Value]:
    """The payload with every `--set` in it. Raises InvalidRequest naming the option that cannot be read."""
    found = {} if payload is None else _object(payload)
    for each in sets:
        key, equals, text = each.partition("=")
        if not key or not equals:
            raise InvalidRequest(f"--set {each}: write KEY=VALUE")
        _place(found, key.split("."), _value(each, text))
    return found


def _object(payload: str) -> dict[str, Value]:
    text = payload
    if payload.startswith("@"):
        try:
            text = Path(payload[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"--payload {payload}: {error}; name a readable file") from error
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"--payload is no JSON ({error}); write an object, or @FILE") from error
    if not isinstance(found, dict):
        raise InvalidRequest("--payload is no JSON object; write {…}, or @FILE with one")
    return found


def _value(option: str, text: str) -> Value:
    """One value as a playbook would read it: numbers, booleans and flow collections, else text."""
    from noetl_stream.dsl.source import load

    try:
        return load(f"value: {text}", "--set").mapping["value"].plain()
    except InvalidPlaybook as error:
        raise InvalidRequest(
            f"--set {option}: {error.problems[0].message}; quote a text in quotes"
        ) from error


def _place(found: dict[str, Value], path: list[str], value: Value) -> None:
    *above, last = path
    for key in above:
        below = found.setdefault(key, {})
        if not isinstance(below, dict):
            raise InvalidRequest(
                f"--set {'.'.join(path)}: '{key}' is set to a value and to a mapping; keep one"
            )
        found = below
    found[last] = value
