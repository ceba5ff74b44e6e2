"""The http tool: one request, its answer in one shape, and errors by status."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from pydantic import AliasChoices, BaseModel, Field, field_validator, model_validator

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.http.body import content, pairs, parsed_answer, texts
from noetl_stream.tools.http.client import Answer, GuardedClient, Request
from noetl_stream.tools.http.pages import KEY_HEADER, Pagination, collected
from noetl_stream.tools.http.statuses import refused

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class HttpConfig(Config):
    url: str = Field(validation_alias=AliasChoices("url", "endpoint"), description="where to")
    method: str = Field("GET", description="any method")
    headers: dict[str, Any] = Field(default_factory=dict, description="nulls are dropped")
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="the query: empty text is sent, nulls are dropped, a list repeats its name",
    )
    body: Any = Field(
        None,
        validation_alias=AliasChoices("body", "json", "data", "payload"),
        description="text as it is; a mapping or list as JSON, or if the content type says so as a form, a list then of pairs",
    )
    form: dict[str, Any] | None = Field(None, description="a form-urlencoded body")
    pagination: Pagination | None = Field(None, description="all pages rather than one")
    verify_ssl: bool = Field(True, description="whether certificates are checked")
    follow_redirects: bool = Field(
        True, description="whether redirects are followed; each is checked like the first url"
    )

    @field_validator("method")
    @classmethod
    def _capitals(cls, method: str) -> str:
        if not method.isalpha():
            raise ValueError(f"'{method}' is no http method")
        return method.upper()

    @model_validator(mode="after")
    def _one_body(self) -> HttpConfig:
        if self.form is not None and self.body is not None:
            raise ValueError("http takes `form` or a body, not both")
        return self


class Http:
    """`kind: http`. A write: a retry of it carries the same `Idempotency-Key`."""

    kind: ClassVar[str] = "http"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = HttpConfig

    def __init__(self, client: GuardedClient, *, timeout: float = 300.0) -> None:
        """`timeout`, in seconds, holds where a task has none."""
        self._client, self._timeout = client, timeout

    async def run(self, call: Call) -> Done:
        timeout = self._timeout if call.timeout is None else call.timeout
        request = request_of(call.config, call.effect_key, call.hosts)
        try:
            async with asyncio.timeout(timeout):
                answer, items = await self._answer(request, call)
        except TimeoutError:
            raise ToolError(
                f"{request} took longer than {timeout:g} s; raise its `timeout` or ask for less",
                kind="timeout",
                retryable=True,
            ) from None
        value = shape(answer, parsed_answer(answer) if items is None else items)
        if answer.status >= 400:
            sentence = f"{request} answered {answer.status} {answer.reason}".rstrip()
            raise refused(sentence, answer.status, answer.headers, value)
        return Done(value=value, http={"status": answer.status, "headers": value["headers"]})

    async def close(self) -> None:
        """The client belongs to whoever made it."""

    async def _answer(self, request: Request, call: Call) -> tuple[Answer, list[Value] | None]:
        pagination: Pagination | None = call.config.pagination
        if pagination is not None:
            ours = call.effect_key if request.headers.get(KEY_HEADER) == call.effect_key else None
            return await collected(self._client.send, request, pagination, ours)
        return await self._client.send(request), None


def request_of(config: HttpConfig, effect_key: str, hosts: tuple[str, ...] | None = None) -> Request:
    """The request a config describes."""
    headers = texts(config.headers)
    names = {name.lower(): name for name in headers}
    body, content_type = content(config.body, config.form, headers.get(names.get("content-type", "")))
    if content_type is not None:
        headers.setdefault(names.get("content-type", "Content-Type"), content_type)
    if config.method not in _SAFE and "idempotency-key" not in names:
        headers[KEY_HEADER] = effect_key
    return Request(
        method=config.method,
        url=config.url,
        headers=headers,
        params=pairs(config.params),
        content=body,
        verify=config.verify_ssl,
        follow_redirects=config.follow_redirects,
        hosts=hosts,
    )


def shape(answer: Answer, body: Value) -> dict[str, Value]:
    """`{status_code, headers, url, elapsed, data, body}`; header names are in lower case."""
    return {
        "status_code": answer.status,
        "headers": dict(answer.headers),
        "url": answer.url,
        "elapsed": answer.elapsed,
        "data": body,
        "body": body,
    }
