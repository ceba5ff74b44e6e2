"""One question over HTTP to whoever keeps secrets or makes tokens, and its answer, which nobody may repeat in an error."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import orjson

from noetl_stream.errors import ToolError

RETRYABLE: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`hosts` are the only ones that a playbook's own address may name; None: any."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whatever its status."""

    status: int
    body: bytes = field(repr=False)

    def json(self, who: str) -> Mapping[str, Any]:
        """The body as a mapping. Raises ToolError for anything else."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise failed(f"{who} answered with no JSON mapping; is its address right?")
        return found


class Sender(Protocol):
    """The way to them."""

    async def send(self, ask: Ask) -> Reply:
        """The answer; redirects are not followed. Raises ToolError if there is none in time."""
        ...


class Direct:
    """The way to addresses that whoever runs the platform has set: anywhere, and by nobody's proxy settings."""

    def __init__(self, *, ca: Path | None = None, timeout: float = 10.0) -> None:
        """`ca` is a PEM file of authorities, `timeout` is for the whole question, in seconds."""
        self._ca, self._timeout = ca, timeout
        self._context: ssl.SSLContext | None = None

    async def send(self, ask: Ask) -> Reply:
        """A connection of its own: answers are held, so questions are rare."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(ask)
        except TimeoutError:
            raise failed(
                f"there was no answer within {self._timeout:g} s; it can be tried again", retryable=True
            ) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise failed("its address is no http url; correct it in the providers' file") from None
        except (httpx.RequestError, UnicodeError) as error:
            raise unanswered(error) from None

    async def _send(self, ask: Ask) -> Reply:
        verify = False if httpx.URL(ask.url).scheme == "http" else self._trusted()
        async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=None) as client:
            answer = await client.request(ask.method, ask.url, headers=dict(ask.headers), content=ask.content)
        return Reply(status=answer.status_code, body=answer.content)

    def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            try:
                self._context = (
                    ssl.create_default_context(cafile=self._ca)
                    if self._ca
                    else httpx.create_ssl_context(trust_env=False)
                )
            except OSError as error:
                raise failed(
                    f"the authorities' file {self._ca} cannot be used ({error.strerror or 'no PEM'}); correct `ca`"
                ) from None
        return self._context


def failed(why: str, *, retryable: bool = False, status: int | None = None) -> ToolError:
    """Why a secret cannot be had; the credential's name is put before it by whoever asked."""
    return ToolError(why, kind="credential", retryable=retryable, status=status)


def unanswered(error: Exception) -> ToolError:
    """Why a question got no answer that can be read. What a protocol's error quotes was sent or answered, and is left out."""
    match error:
        case httpx.LocalProtocolError() | UnicodeError():
            return failed("the login has characters that no HTTP header has; correct it")
        case httpx.DecodingError():
            return failed("the answer has an encoding that cannot be read; is its address right?")
        case httpx.RemoteProtocolError():
            why = type(error).__name__
        case _:
            why = str(error) or type(error).__name__
    return failed(f"there was no answer ({why}); it can be tried again", retryable=True)


def for_now(status: int) -> bool:
    """Whether the same question may be answered another time."""
    return status >= 500 or status in RETRYABLE


def accepted(reply: Reply, what: str) -> Reply:
    """The reply, if it is no refusal of `what`. Raises ToolError with what to do."""
    match reply.status:
        case status if status < 300:
            return reply
        case 401 | 403:
            raise failed(
                f"the login was refused ({reply.status}) for {what}; correct it, or give it that right"
            )
        case 404:
            raise failed(f"there is no {what}; put it there, or correct its name")
        case status if for_now(status):
            raise failed(f"the answer was {status}; it can be tried again", retryable=True)
        case status:
            raise failed(f"the answer was {status} for {what}; check its name and the provider's settings")


def as_json(fields: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    """A body, and the headers that go with it."""
    return orjson.dumps(fields), {"Content-Type": "application/json"}
