"""Azure: the secrets of one Key Vault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from noetl_stream.keychain.asking import Ask, Sender, accepted
from noetl_stream.keychain.held import Fetched
from noetl_stream.keychain.providers.service import Found, Login, Sessions, fields_or_text, session

WHO = "Azure"
AUTHORITY: Final = "https://login.microsoftonline.com"
METADATA: Final = "http://169.254.169.254"
_RESOURCE: Final = "https://vault.azure.net"
_VERSION: Final = "7.4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure:
    """`vault` is its URL, `metadata` gives the identity that the machine was given."""

    sender: Sender
    vault: str
    authority: str = AUTHORITY
    metadata: str = METADATA
    _sessions: Sessions = field(default_factory=Sessions)

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        path = "/".join(quote(part, safe="") for part in (ref, version) if part)
        reply = await self._sessions.send(
            self.sender,
            login,
            lambda: self._begin(login),
            lambda token: Ask(
                method="GET",
                url=f"{self.vault.rstrip('/')}/secrets/{path}?api-version={_VERSION}",
                headers={"Authorization": f"Bearer {token}"},
            ),
        )
        answer = accepted(reply, f"secret '{ref}'").json(WHO)
        return Found(value=fields_or_text(str(answer.get("value") or "")))

    async def _begin(self, login: Login) -> Fetched[str]:
        ask = self._of_the_machine() if login.ambient else self._of(login)
        answer = accepted(await self.sender.send(ask), "token for the vault").json(WHO)
        return session(answer.get("access_token"), answer.get("expires_in"), WHO)

    def _of(self, login: Login) -> Ask:
        tenant, client, secret = login.need("tenant_id", "client_id", "client_secret")
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": secret,
            "scope": f"{_RESOURCE}/.default",
        }
        return Ask(
            method="POST",
            url=f"{self.authority}/{quote(tenant, safe='')}/oauth2/v2.0/token",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            content=urlencode(form).encode(),
        )

    def _of_the_machine(self) -> Ask:
        query = urlencode({"api-version": "2018-02-01", "resource": _RESOURCE})
        return Ask(
            method="GET",
            url=f"{self.metadata}/metadata/identity/oauth2/token?{query}",
            headers={"Metadata": "true"},
        )
