"""HashiCorp Vault and OpenBao: the key-value engine in both its versions, and tokens by AppRole or Kubernetes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from noetl_stream.keychain.asking import Ask, Reply, Sender, accepted, as_json, failed
from noetl_stream.keychain.held import Fetched
from noetl_stream.keychain.providers.service import Found, Login, Own, Sessions, known, session

WHO = "Vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """One server. `mount` is the path of its key-value engine, `namespace` the one of its enterprise edition."""

    sender: Sender
    address: str
    mount: str = "secret"
    kv: Literal[1, 2] = 2
    namespace: str | None = None
    _sessions: Sessions = field(default_factory=Sessions)

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        if version is not None and self.kv == 1:
            raise failed("its engine keeps no versions; ask for none")
        asked = f"?version={quote(version)}" if version is not None else ""
        path = f"{quote(self.mount)}/{'data/' if self.kv == 2 else ''}{quote(ref)}{asked}"
        answer = accepted(await self.ask("GET", path, login), f"secret '{ref}'").json(WHO)
        return _versioned(answer) if self.kv == 2 else Found(value=_mapping(answer.get("data")))

    async def ask(
        self, method: str, path: str, login: Login, fields: Mapping[str, Any] | None = None
    ) -> Reply:
        """What its API answers to this login."""
        if "token" in login.fields:
            return await self.sender.send(self._ask(method, path, fields, *login.need("token")))
        return await self._sessions.send(
            self.sender,
            login,
            lambda: self._begin(login),
            lambda token: self._ask(method, path, fields, token),
        )

    async def _begin(self, login: Login) -> Fetched[str]:
        if "role_id" in login.fields:
            role, secret = login.need("role_id", "secret_id")
            way, fields = "approle", {"role_id": role, "secret_id": secret}
        else:
            role, jwt = login.need("role", "jwt")
            way, fields = "kubernetes", {"role": role, "jwt": jwt}
        reply = await self.sender.send(self._ask("POST", f"auth/{way}/login", fields))
        if reply.status == 400:
            reply = Reply(status=401, body=b"")
        auth = accepted(reply, f"{way} login").json(WHO).get("auth") or {}
        return session(auth.get("client_token"), auth.get("lease_duration"), WHO)

    def _ask(self, method: str, path: str, fields: Mapping[str, Any] | None, token: str | None = None) -> Ask:
        content, headers = as_json(fields) if fields is not None else (None, {})
        told = {"X-Vault-Token": token, "X-Vault-Namespace": self.namespace}
        return Ask(
            method=method,
            url=f"{self.address.rstrip('/')}/v1/{path}",
            headers={**headers, **{name: text for name, text in told.items() if text}},
            content=content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """A key of Vault's transit engine, which wraps ours and never leaves it. The key is of type aes256-gcm96."""

    vault: Vault
    own: Own
    name: str
    mount: str = "transit"

    @property
    def id(self) -> str:
        return f"vault:{self.name}"

    async def wrap(self, key: bytes, bound: bytes) -> bytes:
        return (await self._asked("encrypt", "ciphertext", {"plaintext": _text(key)}, bound)).encode()

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        ciphertext = wrapped.decode(errors="replace")
        return b64decode(await self._asked("decrypt", "plaintext", {"ciphertext": ciphertext}, bound))

    async def _asked(self, verb: str, wanted: str, fields: Mapping[str, str], bound: bytes) -> str:
        path = f"{quote(self.mount)}/{verb}/{quote(self.name, safe='')}"
        more = {**fields, "associated_data": _text(bound)}
        reply = accepted(await self.vault.ask("POST", path, known(self.own), more), f"key '{self.name}'")
        found = (reply.json(WHO).get("data") or {}).get(wanted)
        if not isinstance(found, str):
            raise failed(f"{WHO} answered without {wanted}; is '{self.name}' a key of the transit engine?")
        return found


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


def _versioned(answer: Mapping[str, Any]) -> Found:
    found = answer.get("data") or {}
    version = (found.get("metadata") or {}).get("version")
    return Found(value=_mapping(found.get("data")), version=version if isinstance(version, int) else None)


def _mapping(fields: Any) -> Mapping[str, Any]:
    if not isinstance(fields, dict):
        raise failed("its engine answered without fields; is `kv` its version, and `mount` its path?")
    return fields
