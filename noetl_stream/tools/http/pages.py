"""Pages of one answer: where its items stand, and how each page leads to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import httpx
from pydantic import Field

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.tools.config import Config
from noetl_stream.tools.http.body import parsed_answer
from noetl_stream.tools.http.client import Answer, Request

KEY_HEADER: Final = "Idempotency-Key"


class Pagination(Config):
    """Without `next` and `param` the `Link` header leads on."""

    items: str = Field("", description="the path of the list in the body; the body itself by default")
    next: str | None = Field(None, description="the path of the next page's url, or of what `param` takes")
    param: str | None = Field(
        None, description="the query parameter that takes it; without `next` it is counted up"
    )
    step: int = Field(1, gt=0, description="by how much it is counted up")
    max_pages: int = Field(1000, gt=0, description="more of them are an error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: its request, its answer, its parsed body and the items in it."""

    request: Request
    answer: Answer
    body: Value
    items: list[Value]


async def collected(
    send: Callable[[Request], Awaitable[Answer]],
    request: Request,
    pagination: Pagination,
    effect_key: str | None = None,
) -> tuple[Answer, list[Value] | None]:
    """The last page's answer and the items of all; no items if a page was refused, whose answer it is then.

    `effect_key` is the request's `Idempotency-Key`, if it is ours: each page is an effect of its own.

    Raises:
        ToolError: a page has no list where one should be, leads to another host, or there are too many.
    """
    items: list[Value] = []
    elapsed = 0.0
    asked = request
    for number in range(pagination.max_pages):
        answer = await send(_keyed(asked, effect_key, number))
        elapsed += answer.elapsed
        if answer.status >= 400:
            return answer, None
        page = _page(asked, answer, pagination)
        items += page.items
        following = _following(page, pagination)
        if following is None:
            return replace(answer, elapsed=elapsed), items
        asked = following
    raise ToolError(
        f"{request} has more than {pagination.max_pages} pages; raise `pagination.max_pages` or ask for less",
        kind="client_error",
        code="too_many_pages",
    )


def _keyed(request: Request, effect_key: str | None, number: int) -> Request:
    """A service that knows the key would answer with the first page again."""
    if effect_key is None or number == 0:
        return request
    return replace(request, headers={**request.headers, KEY_HEADER: f"{effect_key}/{number}"})


def _page(request: Request, answer: Answer, pagination: Pagination) -> Page:
    body = parsed_answer(answer)
    items = _at(body, pagination.items)
    if not isinstance(items, list):
        where = f"at '{pagination.items}'" if pagination.items else "as its body"
        raise ToolError(
            f"{request} answers without a list {where}; check `pagination.items`", kind="validation"
        )
    return Page(request=request, answer=answer, body=body, items=items)


def _following(page: Page, pagination: Pagination) -> Request | None:
    if pagination.param is not None and pagination.next is None:
        return _counted(page, pagination.param, pagination.step) if page.items else None
    if pagination.next is None:
        links = httpx.Response(200, headers={"link": page.answer.headers.get("link", "")}).links
        found: Value = links.get("next", {}).get("url")
    else:
        found = _at(page.body, pagination.next)
    if found in (None, "", False):
        return None
    if pagination.param is not None:
        return _with(page.request, pagination.param, str(found))
    return _elsewhere(page, str(found))


def _counted(page: Page, name: str, step: int) -> Request:
    """The same request with its counter, which begins at 1 where it is not given, raised."""
    given = dict(page.request.params).get(name, "1")
    if not given.lstrip("-").isdecimal():
        raise ToolError(f"`params.{name}` is '{given}', which cannot be counted up", kind="validation")
    return _with(page.request, name, str(int(given) + step))


def _with(request: Request, name: str, value: str) -> Request:
    others = [(key, each) for key, each in request.params if key != name]
    return replace(request, params=[*others, (name, value)])


def _elsewhere(page: Page, link: str) -> Request:
    """The page that a link leads to, on the same host: the headers may hold credentials for that alone."""
    here = httpx.URL(page.answer.url)
    there = here.join(link)
    if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
        raise ToolError(
            f"{page.request} names a next page on another host ({there.host}); ask that one by itself",
            kind="client_error",
            code="other_host",
        )
    return replace(page.request, url=str(there), params=[])


def _at(body: Value, path: str) -> Value:
    for key in path.split(".") if path else ():
        match body:
            case dict():
                body = body.get(key)
            case list() if key.isdecimal() and int(key) < len(body):
                body = body[int(key)]
            case _:
                return None
    return body
