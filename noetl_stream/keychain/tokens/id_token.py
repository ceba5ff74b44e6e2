"""`kind: google_id_token`: who a service account is, for one audience, signed by Google."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import Sender, failed
from noetl_stream.keychain.held import Fetched, Held, key_of
from noetl_stream.keychain.naming import named, trusted
from noetl_stream.keychain.providers.google import exchanged
from noetl_stream.keychain.providers.service import Login, fields_or_text
from noetl_stream.keychain.tokens.oauth2 import AHEAD, LEEWAY
from noetl_stream.ports.credentials import Credentials, Secret, Wanted

PROVIDER: Final = "google"
_NAMING: Final = ("service_account_credential", "service_account", "credential", "auth", "ref")
_WRITTEN: Final = ("service_account_json", "service_account_key", "service_account_info", "data")
_LIFE: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleIdToken:
    """A `ports.credentials.Credentials`. The service account's JSON is a credential, or stands in the document."""

    guarded: Sender
    direct: Sender
    others: Credentials
    held: Held[str] = field(default_factory=Held)

    async def resolve(self, wanted: Wanted) -> Secret:
        try:
            audience = wanted.settings.get("target_audience") or wanted.settings.get("audience")
            if not isinstance(audience, str):
                raise failed("it names no `target_audience`; give it the address that the token is for")
            account, operators = await self._account(wanted)
            local = wanted.execution if wanted.scope == "local" else None
            login = Login(fields=account, given=not operators, hosts=None if operators else wanted.hosts)
            told = (audience, login.fields, login.given, login.hosts)
            key = key_of(wanted.tenant, wanted.alias, local, wanted.auto_renew, *told)
            kept = await self.held.get(key, lambda: self._fetch(login, audience, ahead=wanted.auto_renew))
        except ToolError as error:
            raise ToolError(
                f"credential '{wanted.alias}' cannot be had: {error.message}",
                kind="credential",
                retryable=error.retryable,
            ) from None

        def doubt() -> None:
            self.held.doubt(key, kept)

        value: Mapping[str, Value] = {"token": kept.value, "id_token": kept.value}
        return Secret(
            wanted.alias, value, provider=PROVIDER, source=wanted.alias, authors=True, on_doubt=doubt
        )

    async def _account(self, wanted: Wanted) -> tuple[Mapping[str, Value], bool]:
        """Its fields, and whether its addresses are the operator's word."""
        settings = wanted.settings
        written = next((settings[name] for name in _WRITTEN if settings.get(name)), None)
        name = next((settings[name] for name in _NAMING if settings.get(name)), None)
        if written is not None:
            value, operators = written, False
        elif wanted.provider is not None:
            plain = replace(
                wanted,
                kind="credential",
                settings={key: each for key, each in settings.items() if key != "map"},
            )
            kept = await self.others.resolve(plain)
            value, operators = kept.reveal(), kept.operators
        elif name is not None:
            value, operators = await named(wanted, name, self.others), trusted(wanted, name)
        else:
            raise failed("it names no service account; give it `credential: <alias>` of one's JSON")
        fields = fields_or_text(value) if isinstance(value, str) else value
        if not isinstance(fields, Mapping):
            raise failed("its service account is no JSON mapping; use the key file as Google gave it")
        return fields, operators

    async def _fetch(self, login: Login, audience: str, *, ahead: bool) -> Fetched[str]:
        sender = self.guarded if login.given else self.direct
        answer = await exchanged(sender, login, {"target_audience": audience})
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise failed("the endpoint answered without `id_token`; is `token_uri` Google's?")
        lasts = max(_left(token) - LEEWAY, 0.0)
        return Fetched(value=token, lasts=lasts, renewed_after=lasts * (1 - AHEAD) if ahead else None)


def _left(token: str) -> float:
    """Seconds that it has left. Whoever it is for checks its signature; we only read when it ends."""
    import jwt

    try:
        claims = jwt.decode(
            token, options={"verify_signature": False, "verify_aud": False, "verify_exp": False}
        )
    except jwt.PyJWTError:
        raise failed("the endpoint gave an `id_token` that is none; is `token_uri` Google's?") from None
    ends = claims.get("exp")
    return float(ends) - time.time() if isinstance(ends, int | float) else _LIFE
