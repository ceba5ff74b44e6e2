"""Google Cloud: the Secret Manager, and what a service account's key is exchanged for."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from noetl_stream.keychain.asking import Ask, Sender, accepted, failed
from noetl_stream.keychain.held import Fetched
from noetl_stream.keychain.providers.service import Found, Login, Sessions, fields_or_text, session

WHO = "Google"
TOKENS: Final = "https://oauth2.googleapis.com/token"
METADATA: Final = "http://metadata.google.internal"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE: Final = 600
"""Seconds for which an assertion holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Google:
    """`guarded` is the way to the token endpoint that a playbook's own login names; `metadata` gives the machine's own."""

    sender: Sender
    guarded: Sender
    project: str | None = None
    endpoint: str = "https://secretmanager.googleapis.com"
    metadata: str = METADATA
    _sessions: Sessions = field(default_factory=Sessions)

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        """`ref` is a secret's id in `project`, or its whole resource name."""
        resource = self._resource(ref, version)
        reply = await self._sessions.send(
            self.sender,
            login,
            lambda: self._begin(login),
            lambda token: Ask(
                method="GET",
                url=f"{self.endpoint}/v1/{quote(resource)}:access",
                headers={"Authorization": f"Bearer {token}"},
            ),
        )
        answer = accepted(reply, f"secret '{ref}'").json(WHO)
        number = str(answer.get("name", "")).rpartition("/")[2]
        return Found(
            value=_payload(answer.get("payload") or {}), version=int(number) if number.isdecimal() else None
        )

    def _resource(self, ref: str, version: str | None) -> str:
        if not ref.startswith("projects/"):
            if self.project is None:
                raise failed(
                    f"'{ref}' names no project; write projects/PROJECT/secrets/NAME, or set `project`"
                )
            ref = f"projects/{self.project}/secrets/{ref}"
        return ref if "/versions/" in ref else f"{ref}/versions/{version or 'latest'}"

    async def _begin(self, login: Login) -> Fetched[str]:
        if login.ambient:
            ask = Ask(
                method="GET",
                url=f"{self.metadata}/computeMetadata/v1/instance/service-accounts/default/token",
                headers={"Metadata-Flavor": "Google"},
            )
            answer = accepted(await self.sender.send(ask), "login of this machine").json(WHO)
        else:
            sender = self.guarded if login.given else self.sender
            answer = await exchanged(sender, login, {"scope": _SCOPE})
        return session(answer.get("access_token"), answer.get("expires_in"), WHO)


async def exchanged(sender: Sender, login: Login, claims: Mapping[str, str]) -> Mapping[str, Any]:
    """What a service account's key is exchanged for, by an assertion with these claims besides its own."""
    import jwt

    email, key = login.need("client_email", "private_key")
    url, now = str(login.fields.get("token_uri") or TOKENS), int(time.time())
    told = {**claims, "iss": email, "aud": url, "iat": now, "exp": now + _LIFE}
    headers = {"kid": kid} if (kid := login.fields.get("private_key_id")) else None
    try:
        assertion = jwt.encode(told, key, algorithm="RS256", headers=headers)
    except (ValueError, TypeError, AttributeError, jwt.PyJWTError):  # the last but one for a public key
        raise failed(
            "its `private_key` is no RSA key in PEM; use the service account's JSON as it is"
        ) from None
    form = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
    reply = await sender.send(Ask(method="POST", url=url, headers=FORM, content=form, hosts=login.hosts))
    return accepted(reply, f"token for '{email}'").json(WHO)


def _payload(payload: Mapping[str, Any]) -> str | Mapping[str, Any]:
    encoded = str(payload.get("data") or "")
    try:
        return fields_or_text(b64decode(encoded).decode())
    except UnicodeDecodeError:
        return encoded
