"""Program text that stands elsewhere: a file, a URL, an object. It is never rendered."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from noetl_stream.core.credentials import SCRIPT
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.config import Config

Hosts: TypeAlias = tuple[str, ...] | None
FetchText: TypeAlias = Callable[[str, Mapping[str, str], Hosts], Awaitable[str]]
"""Read a URL as text, with these request headers, on one of these hosts (None: on any). Raises ToolError."""
_SCHEMES: Final[Mapping[str, str]] = {"http": "http", "https": "http", "s3": "s3", "gs": "gcs", "gcs": "gcs"}


class Source(Config):
    """Where a script's `uri` points."""

    type: Literal["file", "http", "s3", "gcs", "inline"] = "file"
    endpoint: str | None = Field(
        None, description="for http: what a relative `uri` is joined to; for s3 and gcs: the store's address"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="for http")
    method: Literal["GET", "get"] = Field("GET", description="for http: a script is only ever read")
    timeout: float | None = Field(None, description="bounds the reading, in seconds")
    bucket: str | None = Field(None, description="for s3 and gcs: what `uri` is a key of")
    region: str | None = Field(None, description="for s3")
    auth: Any = Field(
        None, description="the credential that the store asks for; without one it is asked as nobody"
    )
    encoding: str = Field("utf-8", description="of the text")
    code: str | None = Field(None, description="for inline: the text itself")

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            return codecs.lookup(encoding).name
        except LookupError:
            raise ValueError(f"'{encoding}' is no encoding; write utf-8 or latin-1, for two") from None


class Script(Config):
    """`{uri, source: {type, …}}`. What `uri` says of its own, `s3://` for one, need not be said again."""

    uri: str = ""
    source: Source = Source()

    @model_validator(mode="before")
    @classmethod
    def _typed(cls, script: Any) -> Any:
        if not isinstance(script, dict):
            return script
        source = script.get("source")
        if not isinstance(source, dict | None) or "type" in (source or {}):
            return script
        scheme = str(script.get("uri", "")).partition("://")[0]
        kind = "inline" if "code" in (source or {}) else _SCHEMES.get(scheme, "file")
        return {**script, "source": {**(source or {}), "type": kind}}

    @model_validator(mode="after")
    def _somewhere(self) -> Script:
        if not self.uri and self.source.code is None and self.source.endpoint is None:
            raise ValueError("a script needs a `uri`, or `source: {type: inline, code: …}`")
        return self


@dataclass(frozen=True, slots=True)
class Scripts:
    """Reads scripts for tools: over http by `fetch`, from stores at private addresses that a document names if `allow_private`."""

    fetch: FetchText
    allow_private: bool = False

    async def of_task(self, script: Script, call: Call) -> str:
        """The text of a task's script, from where its playbook may call, with the credential of its `source`. Raises ToolError."""
        return await self.text(script, call.hosts, call.credentials.get(SCRIPT))

    async def text(self, script: Script, hosts: Hosts = None, secret: Secret | None = None) -> str:
        """The script's text, from one of `hosts` (None: from any), of a store with `secret` or as nobody.

        Raises:
            ToolError: it cannot be read.
        """
        limit = asyncio.timeout(script.source.timeout)
        try:
            async with limit:
                return await self._read(script.uri, script.source, hosts, secret)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolError(
                f"the script '{script.uri}' was not read within {script.source.timeout:g} s; raise its `timeout`",
                kind="timeout",
                retryable=True,
            ) from None

    async def _read(self, uri: str, source: Source, hosts: Hosts, secret: Secret | None) -> str:
        match source.type:
            case "inline":
                return source.code or uri
            case _ if source.type == "file" or uri.startswith("file://"):
                return await asyncio.to_thread(_file_text, uri, source.encoding)
            case "http":
                return await self.fetch(_joined(source.endpoint, uri), source.headers, hosts)
            case "s3" | "gcs":
                return await self._object_text(_object_uri(uri, source), source, hosts, secret)

    async def _object_text(self, uri: str, source: Source, hosts: Hosts, secret: Secret | None) -> str:
        # What reads stores is loaded by the first script that stands in one.
        import obstore
        from obstore.exceptions import BaseError

        from noetl_stream.tools.objects.config import ObjectConfig
        from noetl_stream.tools.objects.failing import failed
        from noetl_stream.tools.objects.place import place_of
        from noetl_stream.tools.objects.reaching import store_for

        place = place_of(ObjectConfig(uri=uri), secret)
        store = await store_for(
            place,
            secret,
            endpoint=source.endpoint,
            region=source.region,
            allow_private=self.allow_private,
            hosts=hosts,
        )
        try:
            answer = await obstore.get_async(store, place.key)
            return bytes(await answer.bytes_async()).decode(source.encoding)
        except UnicodeDecodeError as error:
            raise ToolError(
                f"the script '{uri}' cannot be read ({error}); say its `encoding`", kind="client_error"
            ) from error
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise failed(error, place.uri) from None  # what the store says may quote the credential


def _object_uri(uri: str, source: Source) -> str:
    if "://" in uri or source.bucket is None:
        return uri
    scheme = "gs" if source.type == "gcs" else "s3"
    return f"{scheme}://{source.bucket}/{uri.lstrip('/')}"


def _joined(endpoint: str | None, uri: str) -> str:
    if endpoint is None or "://" in uri:
        return uri
    return f"{endpoint.rstrip('/')}/{uri.lstrip('/')}".rstrip("/")


def _file_text(uri: str, encoding: str) -> str:
    try:
        return Path(uri.removeprefix("file://")).read_text(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(
            f"the script '{uri}' cannot be read ({error}); check its path", kind="client_error"
        ) from error
