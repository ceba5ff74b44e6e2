"""One shared, guarded client: bounded answers, no cookies kept between callers, and errors that say who must act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import perf_counter
from typing import TypeAlias

import httpx

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.guard import GuardedTransport
from noetl_stream.tools.http.hosts import EXTENSION, check_host
from noetl_stream.tools.http.statuses import refused

Parameters: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send. Parameters and headers are text already. `hosts` are the only ones it may reach; None: any."""

    method: str
    url: str
    headers: Mapping[str, str]
    params: Parameters
    content: bytes | None = None
    verify: bool = True
    follow_redirects: bool = True
    hosts: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Without query and credentials, which may be secrets."""
        url = httpx.URL(self.url)
        return f"{self.method} {url.scheme}://{url.netloc.decode().rpartition('@')[2]}{url.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `elapsed` is in seconds, body included."""

    status: int
    reason: str
    headers: Mapping[str, str]
    url: str
    body: bytes
    elapsed: float
    encoding: str


class GuardedClient:
    """Sends requests to wherever the guard lets it. The process's proxy settings do not count.

    `allow_private` opens loopback and private addresses; `max_bytes` bounds a decoded body.
    """

    def __init__(self, *, allow_private: bool = False, max_bytes: int = 64 << 20) -> None:
        self._allow_private, self._max_bytes = allow_private, max_bytes
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def send(self, request: Request) -> Answer:
        """Send, and read the whole answer, whatever its status.

        Raises:
            ToolError: there is none.
        """
        try:
            return await self._send(request)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ToolError(
                f"'{request.url}' is no http url ({error}); check it", kind="validation"
            ) from error
        except httpx.TooManyRedirects as error:
            raise ToolError(f"{request} redirects without end; check the url", kind="client_error") from error
        except httpx.DecodingError as error:
            raise ToolError(
                f"{request} answered with an encoding that cannot be read ({error})", kind="client_error"
            ) from error
        except httpx.TransportError as error:
            raise ToolError(
                f"{request} got no answer ({str(error) or type(error).__name__}); it can be tried again",
                kind="connection",
                retryable=True,
            ) from error

    async def text(self, url: str, headers: Mapping[str, str], hosts: tuple[str, ...] | None) -> str:
        """The text at a URL on one of `hosts` (None: anywhere).

        Raises:
            ToolError: it cannot be had.
        """
        request = Request(method="GET", url=url, headers=headers, params=[], hosts=hosts)
        answer = await self.send(request)
        if answer.status >= 400:
            sentence = f"{request} answered {answer.status}; check the url"
            raise refused(sentence, answer.status, answer.headers)
        return answer.body.decode(answer.encoding, errors="replace")

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _send(self, request: Request) -> Answer:
        client, url = self._client(request.verify), httpx.URL(request.url)
        if request.params:  # merging re-encodes a query that stands in the url
            url = url.copy_merge_params(httpx.QueryParams(list(request.params)))
        built = client.build_request(
            request.method,
            url,
            headers=dict(request.headers),
            content=request.content,
            extensions={EXTENSION: request.hosts},
        )
        start = perf_counter()
        response = await client.send(built, stream=True, follow_redirects=request.follow_redirects)
        try:
            body = await self._body(request, response)
        finally:
            await response.aclose()
        return Answer(
            status=response.status_code,
            reason=response.reason_phrase,
            headers=dict(response.headers),
            url=str(response.url),
            body=body,
            elapsed=perf_counter() - start,
            encoding=response.charset_encoding or "utf-8",
        )

    async def _body(self, request: Request, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise ToolError(
                    f"{request} answers with more than {self._max_bytes} bytes; ask for less, page by page",
                    kind="client_error",
                    code="too_large",
                )
        return bytes(body)

    def _client(self, verify: bool) -> httpx.AsyncClient:
        if verify not in self._clients:
            self._clients[verify] = httpx.AsyncClient(
                transport=GuardedTransport(verify=verify, allow_private=self._allow_private),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                timeout=None,  # the caller bounds the whole call
                trust_env=False,
                event_hooks={"request": [check_host]},
            )
        return self._clients[verify]
