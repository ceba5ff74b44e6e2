"""What a config says to send, as bytes; what came back, as a value."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import Answer

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def pairs(values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Names and values as a query or a form spells them: nulls dropped, empty text kept, lists repeated."""
    return [
        (name, _spelled(item))
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]


def texts(values: Mapping[str, Value]) -> dict[str, str]:
    """Headers as text: nulls dropped."""
    return {name: _spelled(value) for name, value in values.items() if value is not None}


def _spelled(value: Value) -> str:
    if isinstance(value, bool | dict | list):
        return _json(value, "a parameter, header or field").decode()
    return str(value)


def content(
    body: Value, form: Mapping[str, Value] | None, given: str | None
) -> tuple[bytes | None, str | None]:
    """The body and its content type; `given` is the one that the author set, which decides between form and JSON."""
    if form is not None:
        return urlencode(pairs(form)).encode(), given or FORM
    if body is None:
        return None, given
    if isinstance(body, str):
        return body.encode(), given
    if given is not None and given.lower().startswith(FORM):
        return urlencode(_form_pairs(body)).encode(), given
    return _json(body, "the body"), given or JSON


def _form_pairs(body: Value) -> list[tuple[str, str]]:
    match body:
        case dict():
            return pairs(body)
        case list() if all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in body):
            return [pair for name, value in body for pair in pairs({str(name): value})]
        case _:
            raise ToolError(
                "the body is no form; send a mapping, or a list of pairs `[name, value]`", kind="validation"
            )


def _json(value: Value, what: str) -> bytes:
    try:
        return orjson.dumps(value, default=_rows)
    except TypeError as error:
        raise ToolError(
            f"{what} is not JSON ({error.__cause__ or error}); send text, JSON or a frame",
            kind="validation",
        ) from error


def _rows(item: Any) -> Any:
    if hasattr(item, "arrow") and isinstance(item, Iterable):
        return list(item)
    if hasattr(item, "to_pylist"):
        return item.to_pylist()
    if hasattr(item, "as_tuple"):
        return str(item)
    raise TypeError(f"it holds a {type(item).__name__}")


def parsed_answer(answer: Answer) -> Value:
    """An answer's body as a value."""
    return parsed(answer.body, answer.headers.get("content-type", ""), answer.encoding)


def parsed(body: bytes, content_type: str, encoding: str) -> Value:
    """JSON as its value, text as text, anything else as base64 text; null if empty.

    What claims to be JSON and is not, is text; what claims nothing, and is a JSON mapping or list, is that.
    """
    if not body:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json") or (not kind and body.lstrip()[:1] in (b"{", b"[")):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            return body.decode(errors="replace")
    try:
        return body.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return b64encode(body).decode()
