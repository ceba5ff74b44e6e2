"""Tokens: fetched once for all, renewed ahead, let go when they are refused, and never told in an error."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import Direct
from noetl_stream.keychain.held import PAUSE, YOUNG, Held
from noetl_stream.keychain.tokens.id_token import GoogleIdToken
from noetl_stream.keychain.tokens.oauth2 import AHEAD, LEEWAY, UNTOLD, OAuth2
from noetl_stream.ports.credentials import DOCUMENT, Secret, Wanted
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.wiring_keychain import Guarded
from tests.keychain.conftest import wanted
from tests.keychain.keepers import CANARY, PRIVATE, PUBLIC, Answer, Asked, Keeper, google, keeping
from tests.tools.conftest import until

CLIENT = {"client_id": "app", "client_secret": CANARY}


@dataclass
class Endpoint:
    """Gives a new token at each question, for so many seconds."""

    life: object = 100
    more: dict[str, object] = field(default_factory=dict)
    given: int = 0

    def __call__(self, asked: Asked) -> Answer:
        self.given += 1
        told = {"access_token": f"token-{self.given}", "token_type": "Bearer", **self.more}
        return 200, told if self.life is None else told | {"expires_in": self.life}


@dataclass
class Stored:
    """The keychain, with what a test put in."""

    held: dict[str, Any] = field(default_factory=dict)

    async def resolve(self, wanted: Wanted) -> Secret:
        if wanted.alias not in self.held:
            raise ToolError(f"credential '{wanted.alias}' is not in the keychain", kind="credential")
        return Secret(wanted.alias, self.held[wanted.alias])


@dataclass
class Tokens:
    """The kind under test, its endpoint, and its clock."""

    endpoint: Endpoint
    server: Keeper
    stored: Stored = field(default_factory=Stored)
    now: float = 0.0

    def __post_init__(self) -> None:
        direct = Direct(timeout=5)
        self.oauth = OAuth2(
            guarded=direct, direct=direct, others=self.stored, held=Held(clock=lambda: self.now)
        )

    def asks(self, alias: str = "api", *, renew: bool = False, **settings: object) -> Wanted:
        told: dict[str, object] = {"endpoint": f"{self.server.url}/token", "data": CLIENT}
        return wanted(alias, kind="oauth2", auto_renew=renew, settings=told | settings)

    async def token(self, asks: Wanted | None = None) -> str:
        value = (await self.oauth.resolve(asks or self.asks())).reveal()
        assert isinstance(value, dict)
        return str(value["token"])

    async def refusal(self, asks: Wanted) -> ToolError:
        with pytest.raises(ToolError) as raised:
            await self.oauth.resolve(asks)
        assert raised.value.kind == "credential"
        assert f"credential '{asks.alias}' cannot be had: " in raised.value.message
        assert CANARY not in raised.value.message
        return raised.value


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    endpoint = Endpoint()
    with keeping(endpoint) as server:
        yield Tokens(endpoint, server)


async def test_a_hundred_blocks_at_once_ask_once(tokens: Tokens) -> None:
    found = await asyncio.gather(*(tokens.token() for _ in range(100)))

    assert set(found) == {"token-1"}
    (asked,) = tokens.server.asked
    assert (asked.method, asked.form) == ("POST", {**CLIENT, "grant_type": "client_credentials"})


async def test_a_hundred_blocks_at_once_get_the_same_refusal(tokens: Tokens) -> None:
    tokens.server.fails = (400, {"error": "invalid_client", "error_description": CANARY})

    await asyncio.gather(*(tokens.refusal(tokens.asks()) for _ in range(100)))
    assert len(tokens.server.asked) == 1


async def test_one_that_is_cancelled_takes_the_token_from_nobody(tokens: Tokens) -> None:
    tokens.server.hangs = True
    first, second = (asyncio.ensure_future(tokens.token()) for _ in range(2))
    await until(lambda: bool(tokens.server.asked))
    first.cancel()
    tokens.server.release.set()

    assert await second == "token-1"
    assert first.cancelled() or first.cancelling()


async def test_a_token_is_used_until_shortly_before_its_end(tokens: Tokens) -> None:
    await tokens.token()
    tokens.now = 100 - LEEWAY - 0.1
    assert await tokens.token() == "token-1"
    tokens.now = 100 - LEEWAY
    assert await tokens.token() == "token-2"


async def test_a_token_whose_life_is_untold_is_used_for_a_minute(tokens: Tokens) -> None:
    tokens.endpoint.life = None
    await tokens.token()
    tokens.now = UNTOLD - LEEWAY - 0.1
    assert await tokens.token() == "token-1"
    tokens.now = UNTOLD - LEEWAY
    assert await tokens.token() == "token-2"


@pytest.mark.parametrize(("renew", "found"), [(True, "token-2"), (False, "token-1")])
async def test_auto_renew_renews_ahead_of_the_end(tokens: Tokens, renew: bool, found: str) -> None:
    await tokens.token(tokens.asks(renew=renew))
    tokens.now = (100 - LEEWAY) * (1 - AHEAD)

    assert await tokens.token(tokens.asks(renew=renew)) == found


async def test_a_renewal_that_fails_leaves_the_old_token_until_it_ends(tokens: Tokens) -> None:
    asks = tokens.asks(renew=True)
    await tokens.token(asks)
    tokens.server.fails = (503, {})
    tokens.now = 80.0
    assert await tokens.token(asks) == "token-1"
    assert await tokens.token(asks) == "token-1"
    assert len(tokens.server.asked) == 2  # no second try within the pause

    tokens.now += PAUSE
    assert await tokens.token(asks) == "token-1"
    assert len(tokens.server.asked) == 3

    tokens.now = 100.0
    error = await tokens.refusal(asks)
    assert (error.retryable, "the endpoint answered 503" in error.message) == (True, True)


async def test_a_refused_token_is_let_go_once(tokens: Tokens) -> None:
    held = [await tokens.oauth.resolve(tokens.asks()) for _ in range(2)]
    tokens.now = YOUNG
    for secret in held:
        secret.doubt()
    assert await tokens.token() == "token-2"

    for secret in (*held, await tokens.oauth.resolve(tokens.asks())):
        secret.doubt()
    assert await tokens.token() == "token-2"


async def test_tenants_aliases_and_requests_have_tokens_of_their_own(tokens: Tokens) -> None:
    asks = [
        tokens.asks(),
        wanted("api", kind="oauth2", tenant="other", settings=tokens.asks().settings),
        tokens.asks("api2"),
        tokens.asks(data={**CLIENT, "scope": "read"}),
        wanted("api", kind="oauth2", scope="local", execution=1, settings=tokens.asks().settings),
        wanted("api", kind="oauth2", scope="local", execution=2, settings=tokens.asks().settings),
    ]
    assert [await tokens.token(each) for each in asks] == [f"token-{turn}" for turn in range(1, 7)]
    assert [await tokens.token(each) for each in asks] == [f"token-{turn}" for turn in range(1, 7)]


async def test_a_client_may_log_in_by_header(tokens: Tokens) -> None:
    tokens.stored.held["client"] = {"client_id": "app:1", "client_secret": CANARY, "scope": "unused"}

    await tokens.token(tokens.asks(auth="client", data={"scope": "read"}))
    (asked,) = tokens.server.asked
    assert asked.headers["authorization"] == "Basic " + b64encode(f"app%3A1:{CANARY}".encode()).decode()
    assert asked.form == {"grant_type": "client_credentials", "scope": "read"}


async def test_a_credential_s_fields_are_the_grant(tokens: Tokens) -> None:
    tokens.stored.held["login"] = {
        **CLIENT, "scope": ["a", "b"], "username": "u", "password": "p", "token_url": f"{tokens.server.url}/t", "note": "x",
    }  # fmt: skip

    await tokens.token(tokens.asks(endpoint=None, data=None, credential="login"))
    await tokens.token(tokens.asks(data={"grant_type": "password"}, credential="login"))
    plain, password = (asked.form for asked in tokens.server.asked)
    assert plain == {**CLIENT, "scope": "a b", "grant_type": "client_credentials"}
    assert password == {**CLIENT, "scope": "a b", "grant_type": "password", "username": "u", "password": "p"}


async def test_a_refresh_token_is_used_while_it_is_taken(tokens: Tokens) -> None:
    tokens.endpoint.more = {"refresh_token": "r-1"}
    found = await tokens.oauth.resolve(tokens.asks())
    assert "refresh_token" not in found.reveal()

    tokens.now = 100.0
    await tokens.token()
    tokens.now = 200.0
    answer = tokens.server.answer
    tokens.server.answer = lambda asked: (
        (400, {"error": "invalid_grant"}) if asked.form["grant_type"] == "refresh_token" else answer(asked)
    )
    tokens.endpoint.more = {}
    assert await tokens.token() == "token-3"
    tokens.now = 300.0
    await tokens.token()
    grants = [asked.form["grant_type"] for asked in tokens.server.asked]
    assert grants == [
        "client_credentials",
        "refresh_token",
        "refresh_token",
        "client_credentials",
        "client_credentials",
    ]
    assert tokens.server.asked[1].form == {"grant_type": "refresh_token", "refresh_token": "r-1", **CLIENT}


@pytest.mark.parametrize("status", [408, 429, 503])
async def test_a_refresh_token_outlives_an_endpoint_that_is_unwell(tokens: Tokens, status: int) -> None:
    tokens.endpoint.more = {"refresh_token": "r-1"}
    await tokens.token()
    tokens.now, tokens.server.fails = 100.0, (status, {})
    assert (await tokens.refusal(tokens.asks())).retryable

    tokens.server.fails = None
    assert await tokens.token() == "token-2"
    assert tokens.server.asked[-1].form["refresh_token"] == "r-1"


async def test_a_token_for_one_execution_may_have_a_client_for_all(tokens: Tokens) -> None:
    scopes: list[str | None] = []

    class Scoped(Stored):
        async def resolve(self, wanted: Wanted) -> Secret:
            scopes.append(wanted.scope)
            return Secret(wanted.alias, CLIENT)

    oauth = OAuth2(guarded=Direct(), direct=Direct(), others=Scoped())
    asks = wanted(
        "api", kind="oauth2", scope="local", settings=tokens.asks(auth="client", data=None).settings
    )

    assert (await oauth.resolve(asks)).alias == "api"
    assert scopes == [None]


@pytest.mark.parametrize(
    "endpoint", ["login.example.org/token", "ftp://h/t", "http://h:port/t", "http://h\x00/t"]
)
async def test_an_address_that_is_none_tells_nothing_of_the_grant(tokens: Tokens, endpoint: str) -> None:
    client = GuardedClient()
    guarded = Guarded(client=client, timeout=5)
    tokens.oauth = OAuth2(guarded=guarded, direct=Direct(), others=tokens.stored)

    error = await tokens.refusal(tokens.asks(endpoint=endpoint, method="GET"))
    assert "its address is no http url; correct it" in error.message
    await client.close()


async def test_a_stored_refresh_token_says_its_grant(tokens: Tokens) -> None:
    await tokens.token(tokens.asks(data={**CLIENT, "refresh_token": "r-0"}))

    assert tokens.server.asked[0].form["grant_type"] == "refresh_token"


async def test_an_endpoint_may_want_json_or_a_query(tokens: Tokens) -> None:
    await tokens.token(tokens.asks(headers={"content-type": "application/json", "x-app": "1"}))
    await tokens.token(tokens.asks(method="get"))

    as_json, as_query = tokens.server.asked
    assert (as_json.json["client_id"], as_json.headers["x-app"]) == ("app", "1")
    assert (as_query.method, as_query.query["grant_type"]) == ("GET", "client_credentials")


async def test_fields_of_the_answer_are_renamed(tokens: Tokens) -> None:
    found = await tokens.oauth.resolve(tokens.asks(map={"bearer": "access_token"}))
    assert found.reveal() == {"bearer": "token-1"}

    error = await tokens.refusal(tokens.asks(map={"bearer": "nothing"}))
    assert "the token has no 'nothing'; it has access_token, expires_in, token, token_type" in error.message


@pytest.mark.parametrize(
    ("answer", "says", "retryable"),
    [
        ((400, {"error": "invalid_client"}), "answered 400 (invalid_client); correct the grant", False),
        ((401, {"error": CANARY}), "answered 401; correct the grant", False),
        ((400, {"error": {"code": 400, "message": CANARY}}), "answered 400; correct the grant", False),
        ((429, b""), "answered 429; it can be tried again", True),
        ((502, b"<html>"), "answered 502; it can be tried again", True),
        ((302, b""), "answered 302; correct", False),
        ((200, b"<html>"), "answered with no JSON mapping", False),
        ((200, {"token_type": "x"}), "answered without `access_token`", False),
        ((200, {"access_token": ""}), "answered without `access_token`", False),
    ],
)
async def test_a_bad_answer_is_told_by_what_to_do(
    tokens: Tokens, answer: Answer, says: str, retryable: bool
) -> None:
    tokens.server.fails = answer

    error = await tokens.refusal(tokens.asks())
    assert (says in error.message, error.retryable) == (True, retryable)


async def test_what_is_not_said_is_asked_for(tokens: Tokens) -> None:
    tokens.stored.held |= {"text": "just-one-text", "half": {"client_id": "app"}}

    assert "names no `endpoint`" in (await tokens.refusal(tokens.asks(endpoint=None))).message
    assert "'gone' is not in the keychain" in (await tokens.refusal(tokens.asks(auth="gone"))).message
    assert "is one text" in (await tokens.refusal(tokens.asks(credential="text"))).message
    assert "`headers` are no mapping" in (await tokens.refusal(tokens.asks(headers=["x"]))).message
    assert "no client_id and client_secret" in (await tokens.refusal(tokens.asks(auth="half"))).message
    assert tokens.server.asked == []


async def test_a_document_s_endpoint_stands_behind_the_guard_and_the_keychain_s_does_not(
    tokens: Tokens,
) -> None:
    client = GuardedClient()
    guarded = Guarded(client=client, timeout=5)
    oauth = OAuth2(guarded=guarded, direct=Direct(), others=tokens.stored)
    tokens.stored.held["login"] = {**CLIENT, "endpoint": f"{tokens.server.url}/token"}

    with pytest.raises(ToolError, match="is a private address"):
        await oauth.resolve(tokens.asks())
    assert tokens.server.asked == []
    await oauth.resolve(tokens.asks(endpoint=None, data=None, credential="login"))
    assert len(tokens.server.asked) == 1

    login = tokens.stored.held["login"]
    for known in (
        Secret("login", login, provider=DOCUMENT),
        Secret("login", login, provider="gcp", authors=True),
    ):
        with pytest.raises(ToolError, match="is a private address"):
            await oauth.resolve(
                wanted("x", kind="oauth2", given={"login": known}, settings={"credential": "login"})
            )
    assert len(tokens.server.asked) == 1
    known = Secret("login", login, provider="keychain")
    found = await oauth.resolve(
        wanted("x", kind="oauth2", given={"login": known}, settings={"credential": "login"})
    )
    assert (len(tokens.server.asked), found.operators) == (2, False)
    await client.close()


async def test_a_playbook_s_hosts_bind_its_endpoint(tokens: Tokens) -> None:
    client = GuardedClient(allow_private=True)
    oauth = OAuth2(guarded=Guarded(client=client, timeout=5), direct=Direct(), others=tokens.stored)
    asks = wanted("api", kind="oauth2", hosts=("login.example.org",), settings=tokens.asks().settings)

    with pytest.raises(ToolError, match="is none of the hosts that the playbook allows"):
        await oauth.resolve(asks)
    assert tokens.server.asked == []

    free = wanted("api", kind="oauth2", settings=asks.settings)
    bound, given = await asyncio.gather(*map(oauth.resolve, (asks, free)), return_exceptions=True)
    assert isinstance(bound, ToolError)
    assert isinstance(given, Secret)  # what binds one playbook refuses nothing to another
    await client.close()


async def test_a_service_account_is_exchanged_for_an_id_token_of_one_audience() -> None:
    import jwt

    with keeping(google({})) as server:
        account = {"client_email": "etl@shop", "private_key": PRIVATE, "token_uri": f"{server.url}/token"}
        direct, stored = Direct(), Stored({"sa": account})
        ids = GoogleIdToken(guarded=direct, direct=direct, others=stored)

        def asks(**settings: object) -> Wanted:
            told = {"target_audience": "https://run.example", "credential": "sa"}
            return wanted("who", kind="google_id_token", settings=told | settings)

        found = [(await ids.resolve(asks())).reveal() for _ in range(3)]
        assert len(server.asked) == 1
        assert isinstance(found[0], dict)
        claims = jwt.decode(
            str(found[0]["token"]), PUBLIC, algorithms=["RS256"], audience="https://run.example"
        )
        assert claims["aud"] == "https://run.example"

        await ids.resolve(asks(target_audience="https://other.example"))
        assert len(server.asked) == 2
        for settings, says in (
            ({"target_audience": None}, "names no `target_audience`"),
            ({"credential": None}, "names no service account"),
            ({"credential": "gone"}, "'gone' is not in the keychain"),
            ({"credential": {"client_email": "x"}}, "its login has no private_key"),
            ({"service_account_json": "no json"}, "is no JSON mapping"),
            ({"service_account_json": {**account, "private_key": "no pem"}}, "is no RSA key in PEM"),
        ):
            with pytest.raises(ToolError, match=says) as raised:
                await ids.resolve(asks(**settings))
            assert raised.value.kind == "credential"
            assert "PRIVATE KEY" not in raised.value.message
