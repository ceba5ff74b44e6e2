"""A connection to an MCP server for one task: where its credential or its config says, and closed when the task ends."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import httpx
import httpx2
from mcp import Client, MCPError
from mcp.client import Transport
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.connecting import PASSWORD, TOKEN, URL, USER, field_of
from noetl_stream.tools.http.body import texts
from noetl_stream.tools.http.hosts import listed
from noetl_stream.tools.http.statuses import refused
from noetl_stream.tools.mcp.guard import GuardedTransport

Ask: TypeAlias = Callable[[Client, Call], Awaitable[Value]]

_CODES: Final[Mapping[int, str]] = {METHOD_NOT_FOUND: "not_found", INVALID_PARAMS: "invalid_params"}


async def asked(call: Call, ask: Ask, allow_private: bool) -> Value:
    """What the server answers.

    Raises:
        ToolError: it cannot be reached, or refuses. The SDK's own errors, which may quote requests, are not its cause.
    """
    secret = next(iter(call.credentials.values()), None)
    url, trusted = _address(call, secret)
    headers = {**texts(call.config.headers), **_login(secret)}
    guard = GuardedTransport(allow_private=allow_private or trusted)
    outcome: Value | ToolError = None
    try:
        async with Client(_transport(call, url, headers, guard), cache=None) as client:
            # Kept, not raised: task groups of the SDK's would wrap it on its way out.
            try:
                outcome = await ask(client, call)
            except ToolError as error:
                outcome = error
            except Exception as error:
                outcome = _failed(error, guard, _shown(url))
    except Exception as error:
        # What breaks while the connection is closed does not undo an answer that is there.
        outcome = _failed(error, guard, _shown(url)) if outcome is None else outcome
    finally:
        await guard.aclose()
    if isinstance(outcome, ToolError):
        if outcome.kind == "auth" and secret is not None:
            secret.doubt()
        raise outcome
    return outcome


def _transport(call: Call, url: str, headers: Mapping[str, str], guard: GuardedTransport) -> Transport:
    # No time of the client's own: the task's bounds the whole.
    def client(*_: Any, **__: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=guard, headers=dict(headers), timeout=None, trust_env=False)

    if call.config.transport == "sse":
        return sse_client(url, httpx_client_factory=client)
    return streamable_http_client(url, http_client=client())


def _address(call: Call, secret: Secret | None) -> tuple[str, bool]:
    """Where the server is, and whether that is the operator's word."""
    found = call.config.endpoint
    trusted = False
    if found is None and secret is not None:
        found, trusted = field_of(secret, URL), secret.operators
    url = _parsed(str(found or ""))
    if not trusted and call.hosts is not None and not listed(url, call.hosts):
        raise ToolError(
            f"'{url.host}' is none of the hosts that the playbook allows; add it to `policy.network.allow`",
            kind="client_error",
            code="refused_host",
        )
    return str(url), trusted


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ToolError(
            "the mcp task names no server; give it `endpoint: https://host/mcp`, or a credential with such a `url`",
            kind="validation",
        )
    return url


def _login(secret: Secret | None) -> Mapping[str, str]:
    """A token as a bearer's, a user and password as basic ones; a credential of one text is a token."""
    if secret is None:
        return {}
    whole = secret.reveal()
    token = whole if isinstance(whole, str) else field_of(secret, TOKEN)
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    user = field_of(secret, USER)
    if user is None:
        return {}
    pair = f"{user}:{field_of(secret, PASSWORD) or ''}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


def _failed(error: Exception, guard: GuardedTransport, where: str) -> ToolError:
    """How HTTP ended says more than what the SDK makes of it."""
    found = guard.failure or _innermost(error)
    if isinstance(found, ToolError):
        return found
    if guard.failure is None and guard.answer is not None and guard.answer.status_code >= 400:
        status, headers = guard.answer.status_code, guard.answer.headers
        return refused(
            f"the MCP server at {where} answered {status}; check address and credential", status, headers
        )
    if isinstance(found, MCPError):
        return ToolError(
            f"the MCP server at {where} refuses the request ({found.message}); check `tool` and `arguments`",
            kind="client_error",
            code=_CODES.get(found.code, str(found.code)),
        )
    return ToolError(
        f"no MCP server answers at {where} ({type(found).__name__}); is it running, and is its address right?",
        kind="connection",
        retryable=True,
    )


def _innermost(error: BaseException) -> BaseException:
    """The first of what task groups put together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _shown(url: str) -> str:
    """Without query and credentials, which may be secrets."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode().rpartition('@')[2]}{parts.path}"
