"""A connection to NATS for one task: told where and as whom by its credential, and closed when the task ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError, NoServersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.connecting import (
    HOST,
    PASSWORD,
    PORT,
    TOKEN,
    USER,
    field_of,
    own_credential,
    url_of,
)
from noetl_stream.tools.http.guard import checked_addresses
from noetl_stream.tools.http.hosts import check_listed

_PORT: Final = 4222
_SECONDS: Final = 5
_URLS: Final = ("servers", "nats_url")
_CREDS: Final = ("creds", "user_credentials", "nats_creds")
_SEED: Final = ("nkey_seed", "nkeys_seed", "seed")
_REFUSED: Final = ("authorization", "authentication", "permissions", "user authentication")


@asynccontextmanager
async def connected(call: Call, *, allow_private: bool) -> AsyncIterator[Client]:
    """The connection.

    Raises:
        ToolError: there is none to be had; or what the server said while the block ran.
    """
    secret = own_credential(call, "nats")
    options = {**_address(secret), **_login(secret)}
    if not secret.operators:
        options |= await _checked(str(options["servers"]), allow_private=allow_private, hosts=call.hosts)
    client = Client()
    try:
        await client.connect(
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of the first connection: twice, at once
            reconnect_time_wait=0,
            connect_timeout=_SECONDS,
            error_cb=_silent,
            name="noetl-stream",
            **options,
        )
        yield client
    except (NatsError, OSError) as error:
        raise failed(error, _shown(str(options["servers"]))) from None
    finally:
        await client.close()


def failed(error: Exception, where: str) -> ToolError:
    """What NATS says, as a task's error. The cause is not shown: it may quote the address with its password."""
    text = str(error).lower()
    match error:
        case KeyNotFoundError() | BucketNotFoundError() | NotFoundError():
            return _client(
                f"NATS has no such bucket, key, stream or consumer ({_told(error)})", 404, "not_found"
            )
        case KeyWrongLastSequenceError():
            return _client("the key has another revision by now; read it and try anew", 409, "exists")
        case MaxPayloadError():
            return _client(
                "the value is larger than the server takes; send less, or a reference", None, "too_large"
            )
        case NoRespondersError() | NoStreamResponseError():
            return _client(
                "nobody answers on this subject; start who shall, or correct it", 404, "no_responders"
            )
        case ServiceUnavailableError() | NatsTimeout():
            return ToolError(f"NATS at {where} did not answer in time", kind="timeout", retryable=True)
        case APIError():
            return _client(f"NATS refuses the request ({_told(error)})", error.code, str(error.err_code))
        case _ if any(word in text for word in _REFUSED):
            return ToolError(
                f"NATS at {where} refuses the credential; renew it, or grant the subject", kind="auth"
            )
        case NoServersError() | OSError():
            return ToolError(
                f"no NATS answers at {where}; is it running, and is its address right?",
                kind="connection",
                retryable=True,
            )
        case _:
            return ToolError(
                f"NATS at {where} failed ({type(error).__name__}); look at its log",
                kind="connection",
                retryable=True,
            )


def _address(secret: Secret) -> dict[str, Any]:
    found = field_of(secret, _URLS) or url_of(secret)
    if found is None and (host := field_of(secret, HOST)) is not None:
        found = f"nats://{host}:{field_of(secret, PORT) or _PORT}"
    url = str(found[0] if isinstance(found, list | tuple) and found else found or "")
    if not _is_server(url):
        raise ToolError(
            f"credential '{secret.alias}' names no server; give it `url: nats://host:port`, or `host` and `port`",
            kind="credential",
        )
    return {"servers": url}


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none, or of half an IPv6 address
        return False


def _login(secret: Secret) -> Mapping[str, Any]:
    found = {
        "user": field_of(secret, USER),
        "password": field_of(secret, PASSWORD),
        "token": field_of(secret, TOKEN),
        "nkeys_seed_str": field_of(secret, _SEED),
    }
    login: dict[str, Any] = {key: str(value) for key, value in found.items() if value is not None}
    if (creds := field_of(secret, _CREDS)) is not None:
        login["user_credentials"] = RawCredentials(str(creds))
    return login


async def _checked(url: str, *, allow_private: bool, hosts: tuple[str, ...] | None) -> Mapping[str, Any]:
    """The address that a document named, as the one that was looked at."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORT
    check_listed(httpx.URL(scheme=parts.scheme, host=host, port=port), hosts)
    address, *_ = await checked_addresses(host, port, allow_private=allow_private)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    shown = f"[{address}]" if ":" in address else address
    name = {"tls_hostname": host} if parts.scheme == "tls" else {}
    return {"servers": f"{parts.scheme}://{user}{shown}:{port}", **name}


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _PORT}"


def _told(error: Exception) -> str:
    return str(getattr(error, "description", None) or type(error).__name__)


async def _silent(error: Exception) -> None:
    """What matters of it comes out of the call as well."""


def _client(sentence: str, status: int | None, code: str) -> ToolError:
    return ToolError(sentence, kind="client_error", status=status, code=code)
