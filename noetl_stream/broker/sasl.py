"""Logging in: SASL's handshake and exchange over Kafka's requests, before any other is answered.

SCRAM proves a password without sending it. PLAIN sends it, and is offered over TLS alone.
"""

from __future__ import annotations

import asyncio
import hmac
import struct
from typing import Protocol

from kio.schema.errors import ErrorCode

from noetl_stream.broker.api import Api
from noetl_stream.broker.protocol import Connection, Fields, Request, api_versions, decode, encode
from noetl_stream.broker.server import Frame, LoginRefused
from noetl_stream.broker.users import MECHANISMS, SCRAM_SHA_256, Users, Verifier, verifier_of_nobody
from noetl_stream.commitlog.refusal import ConnectionRefused
from noetl_stream.errors import InvalidRequest

PLAIN = "PLAIN"
_DELAY_SECONDS = 0.1
"""What a failed login waits for its answer, as with Kafka: guessing becomes slow."""

_SIZE = struct.Struct(">i")


class AuthenticationFailed(Exception):
    """The user is not who it says; the message is for the log alone."""


class Exchange(Protocol):
    """One mechanism's messages. `user` is set once they have proved who it is."""

    user: str | None

    async def step(self, token: bytes) -> bytes:
        """The answer to the client's next message.

        Raises:
            AuthenticationFailed: it proves nothing.
        """
        ...


class SaslLogin:
    """One connection's way in. Implements `server.Login`."""

    def __init__(self, users: Users, *, over_tls: bool) -> None:
        self._users = users
        self._offered = (*MECHANISMS, PLAIN) if over_tls else MECHANISMS
        self._exchange: Exchange | None = None
        self._bare_tokens = False

    @property
    def is_done(self) -> bool:
        return self._exchange is not None and self._exchange.user is not None

    async def respond(self, frame: bytes, connection: Connection) -> Frame:
        if self._bare_tokens and self._exchange is not None:
            return await self._bare(self._exchange, frame)
        request = decode(frame, connection)
        match request.api, self._exchange:
            case Api.API_VERSIONS, None:
                return encode(request, api_versions(request))
            case Api.SASL_HANDSHAKE, None:
                return self._handshake(request)
            case Api.SASL_AUTHENTICATE, exchange if exchange is not None:
                return await self._authenticate(exchange, request)
            case _:
                raise ConnectionRefused(
                    f"{request.api.name} came before a login; the client must be told to use SASL"
                )

    def _handshake(self, request: Request) -> Frame:
        mechanism: str = request.body.mechanism
        offer: Fields = {"error_code": ErrorCode.none, "mechanisms": self._offered}
        if mechanism not in self._offered:
            refusal = encode(request, {**offer, "error_code": ErrorCode.unsupported_sasl_mechanism})
            raise LoginRefused(f"the mechanism {mechanism} is not offered here", refusal)
        self._exchange = self._begin(mechanism)
        # In version 0 the messages follow as they are, each behind its length.
        self._bare_tokens = request.version == 0
        return encode(request, offer)

    def _begin(self, mechanism: str) -> Exchange:
        if mechanism == PLAIN:
            return PlainExchange(self._users)
        from noetl_stream.broker.scram import ScramExchange

        return ScramExchange(mechanism, self._users)

    async def _authenticate(self, exchange: Exchange, request: Request) -> Frame:
        try:
            token = await exchange.step(request.body.auth_bytes)
        except AuthenticationFailed as failure:
            await asyncio.sleep(_DELAY_SECONDS)
            code = ErrorCode.sasl_authentication_failed
            told = "Authentication failed: the user or the password is wrong"
            refusal = encode(request, {"error_code": code, "error_message": told, "auth_bytes": b""})
            raise LoginRefused(f"a login failed: {failure}", refusal) from failure
        return encode(request, {"error_code": ErrorCode.none, "error_message": None, "auth_bytes": token})

    async def _bare(self, exchange: Exchange, token: bytes) -> Frame:
        try:
            answer = await exchange.step(token)
        except AuthenticationFailed as failure:
            await asyncio.sleep(_DELAY_SECONDS)
            raise ConnectionRefused(f"a login failed: {failure}") from failure
        return _SIZE.pack(len(answer)) + answer


async def refuse_handshake(request: Request) -> Fields:
    """A handshake of a client that has logged in, or need not."""
    return {"error_code": ErrorCode.illegal_sasl_state, "mechanisms": ()}


async def refuse_authentication(request: Request) -> Fields:
    """An authentication without a handshake before it, of such a client."""
    told = "there is nobody to be authenticated on this connection"
    return {"error_code": ErrorCode.illegal_sasl_state, "error_message": told, "auth_bytes": b""}


class PlainExchange:
    """One message, `\\0name\\0password`, checked against the verifier that SCRAM uses."""

    def __init__(self, users: Users) -> None:
        self.user: str | None = None
        self._users = users

    async def step(self, token: bytes) -> bytes:
        try:
            _, name, password = token.decode().split("\0")
        except ValueError as error:
            raise AuthenticationFailed("a PLAIN message has three parts") from error
        kept = self._users.find(name, SCRAM_SHA_256) or verifier_of_nobody(name)
        # Hashing takes milliseconds: others shall not wait for it.
        found = await asyncio.to_thread(_verified, password, kept)
        if found is None or not hmac.compare_digest(found.stored_key, kept.stored_key):
            raise AuthenticationFailed(f"user '{name}' by PLAIN")
        self.user = name
        return b""


def _verified(password: str, kept: Verifier) -> Verifier | None:
    try:
        return Verifier.of(SCRAM_SHA_256, password, salt=kept.salt, iterations=kept.iterations)
    except InvalidRequest:
        return None
