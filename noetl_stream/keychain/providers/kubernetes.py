"""Kubernetes: the Secrets of its API, by a service account's token."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from urllib.parse import quote

from noetl_stream.keychain.asking import Ask, Sender, accepted, failed
from noetl_stream.keychain.providers.service import Found, Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """One cluster. `namespace` is meant where a name has none."""

    sender: Sender
    server: str
    namespace: str

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        """`ref` is `NAME` or `NAMESPACE/NAME`; a Secret's entries are its fields."""
        if version is not None:
            raise failed("a Secret has no versions; ask for none")
        namespace, _, name = ref.rpartition("/")
        path = f"namespaces/{quote(namespace or self.namespace, safe='')}/secrets/{quote(name, safe='')}"
        (token,) = login.need("token")
        ask = Ask(
            method="GET",
            url=f"{self.server.rstrip('/')}/api/v1/{path}",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        )
        entries = (
            accepted(await self.sender.send(ask), f"Secret '{ref}'").json("Kubernetes").get("data") or {}
        )
        return Found(value={str(name): _readable(str(each)) for name, each in entries.items()})


def _readable(encoded: str) -> str:
    """As text where it is one, else in Base64, as it came."""
    try:
        return b64decode(encoded).decode()
    except UnicodeDecodeError:
        return encoded
