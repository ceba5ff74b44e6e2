"""`kind: oauth2`: tokens from an endpoint, fetched once for all who need them, renewed ahead where that is asked for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import orjson

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import Ask, Reply, Sender, as_json, failed, for_now
from noetl_stream.keychain.held import MOST, Fetched, Held, key_of
from noetl_stream.keychain.naming import named, trusted
from noetl_stream.keychain.providers.service import seconds_of
from noetl_stream.ports.credentials import Credentials, Secret, Wanted

PROVIDER: Final = "oauth2"
LEEWAY: Final = 10.0
"""Seconds before its end at which a token is not handed out any more, for clocks and the way it still has to go."""
AHEAD: Final = 0.2
"""The part of its life at whose beginning an `auto_renew` token is renewed."""
UNTOLD: Final = 60.0
"""Seconds for which a token is used whose life the endpoint does not tell."""
_GRANTED: Final = (
    "client_id",
    "client_secret",
    "scope",
    "scopes",
    "audience",
    "refresh_token",
    "username",
    "password",
)
_ADDRESSES: Final = ("endpoint", "token_url", "token_uri", "url")
_CODES: Final = frozenset(
    {
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
        "access_denied", "temporarily_unavailable", "slow_down",
    }
)  # fmt: skip
"""Error codes that may be repeated. Whatever else an endpoint says might hold what it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granting:
    """How a token is asked for. `form` holds the grant, `basic` the client where it logs in by header."""

    url: str
    method: str
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)
    basic: tuple[str, str] | None = field(repr=False)
    trusted: bool
    hosts: tuple[str, ...] | None

    def ask(self, form: Mapping[str, str]) -> Ask:
        headers = dict(self.headers)
        if self.basic is not None:
            login = ":".join(map(quote_plus, self.basic))
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        if "json" in next((text for name, text in headers.items() if name.lower() == "content-type"), ""):
            content, more = as_json(form)
        else:
            content, more = urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        told = {**more, "Accept": "application/json"}
        headers |= {name: text for name, text in told.items() if name.lower() not in map(str.lower, headers)}
        if self.method == "GET":
            return Ask(method="GET", url=f"{self.url}?{urlencode(form)}", headers=headers, hosts=self.hosts)
        return Ask(method=self.method, url=self.url, headers=headers, content=content, hosts=self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """A `ports.credentials.Credentials`. `guarded` is the way to addresses of documents, `direct` to the keychain's."""

    guarded: Sender
    direct: Sender
    others: Credentials
    held: Held[Mapping[str, Value]] = field(default_factory=Held)
    _refresh: dict[bytes, str] = field(default_factory=dict, repr=False)

    async def resolve(self, wanted: Wanted) -> Secret:
        try:
            granting = await self._granting(wanted)
            local = wanted.execution if wanted.scope == "local" else None
            told = (granting.url, granting.method, granting.headers, granting.form, granting.basic)
            way = (granting.trusted, granting.hosts)
            key = key_of(wanted.tenant, wanted.alias, local, wanted.auto_renew, *told, *way)
            kept = await self.held.get(key, lambda: self._fetch(key, granting, ahead=wanted.auto_renew))
            value = _mapped(kept.value, wanted.settings.get("map"))
        except ToolError as error:
            raise ToolError(
                f"credential '{wanted.alias}' cannot be had: {error.message}",
                kind="credential",
                retryable=error.retryable,
            ) from None

        def doubt() -> None:
            self.held.doubt(key, kept)

        return Secret(
            wanted.alias, value, provider=PROVIDER, source=wanted.alias, authors=True, on_doubt=doubt
        )

    async def _granting(self, wanted: Wanted) -> Granting:
        settings, kept = wanted.settings, dict[str, Any]()
        login = settings.get("credential") or settings.get("ref")
        if login:
            kept = _fields(await named(wanted, login, self.others), "credential")
        basic = await self._basic(wanted)
        written = next((settings[name] for name in _ADDRESSES if settings.get(name)), None)
        address = written or next((kept[name] for name in _ADDRESSES if kept.get(name)), None)
        if not isinstance(address, str):
            raise failed("it names no `endpoint` to fetch a token from; give it one")
        operators = written is None and trusted(wanted, login)
        return Granting(
            url=address,
            method=str(settings.get("method") or "POST").upper(),
            headers=_headers(settings.get("headers") or {}),
            form=_form(kept, settings, basic),
            basic=basic,
            trusted=operators,
            hosts=None if operators else wanted.hosts,
        )

    async def _basic(self, wanted: Wanted) -> tuple[str, str] | None:
        auth = wanted.settings.get("auth")
        if not auth:
            return None
        fields = _fields(await named(wanted, auth, self.others), "auth")
        client = fields.get("client_id") or fields.get("username") or fields.get("user")
        secret = fields.get("client_secret") or fields.get("password")
        if not client or not secret:
            raise failed("what `auth` names has no client_id and client_secret; give it both")
        return str(client), str(secret)

    async def _fetch(self, key: bytes, granting: Granting, *, ahead: bool) -> Fetched[Mapping[str, Value]]:
        answer = await self._answer(key, granting)
        if isinstance(refresh := answer.get("refresh_token"), str) and refresh:
            self._remember(key, refresh)
        token = answer.get("access_token") or answer.get("id_token")
        if not isinstance(token, str):
            raise failed("the endpoint answered without `access_token`; is it the one for tokens?")
        told = {name: each for name, each in answer.items() if name != "refresh_token"}
        life = seconds_of(answer.get("expires_in"), UNTOLD)
        lasts = max(life - LEEWAY, life / 2)
        value: Mapping[str, Value] = {**told, "token": token}
        return Fetched(value=value, lasts=lasts, renewed_after=lasts * (1 - AHEAD) if ahead else None)

    async def _answer(self, key: bytes, granting: Granting) -> Mapping[str, Any]:
        """By the refresh token of the last answer; without one, or if that is not taken any more, from the beginning."""
        sender = self.direct if granting.trusted else self.guarded
        if refresh := self._refresh.get(key):
            client = {
                name: granting.form[name] for name in ("client_id", "client_secret") if name in granting.form
            }
            form = {"grant_type": "refresh_token", "refresh_token": refresh, **client}
            reply = await sender.send(granting.ask(form))
            if reply.status < 300:
                return reply.json("the endpoint")
            if not for_now(reply.status):
                self._refresh.pop(key, None)
        return _granted(await sender.send(granting.ask(granting.form)))

    def _remember(self, key: bytes, refresh: str) -> None:
        if len(self._refresh) >= MOST:
            del self._refresh[next(iter(self._refresh))]
        self._refresh[key] = refresh


def _headers(written: Any) -> Mapping[str, str]:
    if not isinstance(written, Mapping):
        raise failed("its `headers` are no mapping; write names and values")
    return {str(name): str(each) for name, each in written.items() if each is not None}


def _form(
    kept: Mapping[str, Any], settings: Mapping[str, Any], basic: tuple[str, str] | None
) -> Mapping[str, str]:
    """The grant: of a credential those fields that grants have, over them what the document says."""
    written = settings.get("data") or {}
    if not isinstance(written, Mapping):
        raise failed("its `data` is no mapping; write the grant's fields")
    top = {name: settings[name] for name in ("grant_type", *_GRANTED) if settings.get(name)}
    grant = written.get("grant_type") or top.get("grant_type") or kept.get("grant_type")
    fields = {name: kept[name] for name in _GRANTED if kept.get(name)} | top | dict(written)
    grant = grant or ("refresh_token" if fields.get("refresh_token") else "client_credentials")
    dropped = {"username", "password"} if grant != "password" else set[str]()
    dropped |= {"client_id", "client_secret"} if basic is not None else set()
    scope = fields.pop("scopes", None) or fields.get("scope")
    joined = {"scope": " ".join(map(str, scope)) if isinstance(scope, list | tuple) else scope}
    told = {**fields, **joined, "grant_type": grant}
    return {
        name: str(each)
        for name, each in told.items()
        if each not in (None, "") and (name not in dropped or name in written)
    }


def _granted(reply: Reply) -> Mapping[str, Any]:
    if reply.status < 300:
        return reply.json("the endpoint")
    code = _code(reply)
    retryable = for_now(reply.status) or code == "temporarily_unavailable"
    hint = "it can be tried again" if retryable else "correct the grant and its client"
    said = f" ({code})" if code else ""
    raise failed(f"the endpoint answered {reply.status}{said}; {hint}", retryable=retryable)


def _code(reply: Reply) -> str | None:
    try:
        told = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    code = told.get("error") if isinstance(told, dict) else None
    return code if isinstance(code, str) and code in _CODES else None


def _fields(value: str | Mapping[str, Value], key: str) -> dict[str, Any]:
    if isinstance(value, str):
        raise failed(f"what `{key}` names is one text; give it fields such as client_id and client_secret")
    return dict(value)


def _mapped(token: Mapping[str, Value], mapped: Any) -> Mapping[str, Value]:
    if not isinstance(mapped, Mapping) or not mapped:
        return token
    lacking = [str(path) for path in mapped.values() if str(path) not in token]
    if lacking:
        raise failed(f"the token has no '{lacking[0]}'; it has {', '.join(sorted(token))}")
    return {str(name): token[str(path)] for name, path in mapped.items()}
