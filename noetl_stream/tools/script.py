"""Program text that stands elsewhere: a file, a URL, an object. It is never rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from noetl_stream.errors import ToolError
from noetl_stream.tools.config import Config

FetchText: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[str]]
"""Read a URL as text, with these request headers. Raises ToolError."""


class Source(Config):
    """Where a script's `uri` points."""

    type: Literal["file", "http", "s3", "gcs", "inline"] = "file"
    endpoint: str | None = Field(None, description="for http: what a relative `uri` is joined to")
    headers: dict[str, str] = Field(default_factory=dict, description="for http")
    code: str | None = Field(None, description="for inline: the text itself")


class Script(Config):
    """`{uri, source: {type, …}}`."""

    uri: str = ""
    source: Source = Source()

    @model_validator(mode="after")
    def _somewhere(self) -> Script:
        if not self.uri and self.source.code is None:
            raise ValueError("a script needs a `uri`, or `source: {type: inline, code: …}`")
        return self


async def script_text(script: Script, fetch: FetchText) -> str:
    """The script's text.

    Raises:
        ToolError: it cannot be read.
    """
    match script.source.type:
        case "inline":
            return script.source.code or script.uri
        case "file":
            return await asyncio.to_thread(_file_text, script.uri)
        case "http":
            return await fetch(_joined(script.source.endpoint, script.uri), script.source.headers)
        case "s3" | "gcs":
            return await _object_text(script.uri)


def _joined(endpoint: str | None, uri: str) -> str:
    return uri if endpoint is None else f"{endpoint.rstrip('/')}/{uri.lstrip('/')}".rstrip("/")


def _file_text(uri: str) -> str:
    try:
        return Path(uri.removeprefix("file://")).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(
            f"the script '{uri}' cannot be read ({error}); check its path", kind="client_error"
        ) from error


async def _object_text(uri: str) -> str:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    folder, _, name = uri.rpartition("/")
    try:
        answer = await obstore.get_async(from_url(folder), name)
        return bytes(await answer.bytes_async()).decode()
    except (FileNotFoundError, ValueError) as error:
        raise ToolError(
            f"the script '{uri}' cannot be read ({_first_line(error)}); check its uri", kind="client_error"
        ) from error
    except BaseError as error:
        raise ToolError(
            f"the script '{uri}' cannot be read ({_first_line(error)}); check its uri and the store",
            kind="connection",
            retryable=True,
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
