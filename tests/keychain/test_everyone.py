"""Who is asked for a credential, as a worker's settings have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from noetl_stream.errors import InvalidRequest, ToolError
from noetl_stream.keychain.asking import Ask, Direct, Reply
from noetl_stream.keychain.providers.config import Providers, read_providers
from noetl_stream.keychain.resolving import Resolver
from noetl_stream.ports.credentials import DOCUMENT, Secret, Wanted
from noetl_stream.settings import Settings
from noetl_stream.wiring_keychain import everyone
from tests.keychain import keepers
from tests.keychain.conftest import wanted
from tests.keychain.keepers import CANARY, LOGIN, PRIVATE, google, keeping


class Stored:
    """A keychain that has every text."""

    async def resolve(self, wanted: Wanted) -> Secret:
        return Secret(wanted.alias, f"stored-{wanted.alias}", provider="keychain")


def resolver(**settings: object) -> Resolver:
    return everyone(Settings.model_validate(settings), Stored(), Direct())


async def refusal(asks: Wanted, **settings: object) -> str:
    with pytest.raises(ToolError) as raised:
        await resolver(**settings).resolve(asks)
    assert raised.value.kind == "credential"
    return raised.value.message


async def test_development_s_providers_are_closed_unless_they_are_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    monkeypatch.setenv("OTHER_TOKEN", "other")
    (tmp_path / "pg.json").write_text(json.dumps({"password": CANARY}))
    told: dict[str, object] = {"keychain_environment": ("SHOP_TOKEN",), "keychain_folder": tmp_path}
    from_env, from_file = wanted("SHOP_TOKEN", provider="env"), wanted("pg.json", provider="file")

    for asks in (from_env, from_file):
        assert "are for development" in await refusal(asks, **told)
    told["keychain_development"] = True
    assert (await resolver(**told).resolve(from_env)).reveal() == CANARY
    assert (await resolver(**told).resolve(from_file)).reveal() == {"password": CANARY}
    assert "is set and listed" in await refusal(wanted("OTHER_TOKEN", provider="env"), **told)
    assert "no folder of secrets" in await refusal(from_file, keychain_development=True)


@pytest.mark.parametrize("provider", ["vault", "aws", "gcp", "azure", "k8s"])
async def test_a_provider_without_its_section_is_told(provider: str) -> None:
    says = await refusal(wanted(provider=provider))

    assert f"add a section `{provider}` to the file of NOETL_STREAM_KEYCHAIN_PROVIDERS" in says


async def test_a_section_s_files_are_read_anew(tmp_path: Path) -> None:
    with keeping(keepers.vault({"db": [{"password": CANARY}]}, kv=2)) as server:
        (tmp_path / "token").write_text("old")
        section = {"address": server.url, "allow": ["db"], "token_file": str(tmp_path / "token")}
        (tmp_path / "p.yaml").write_text(json.dumps({"vault": section}))
        found = resolver(keychain_providers=tmp_path / "p.yaml")

        with pytest.raises(ToolError, match="login was refused"):
            await found.resolve(wanted("db", provider="vault"))
        (tmp_path / "token").write_text(LOGIN + "\n")
        assert (await found.resolve(wanted("db", provider="vault"))).reveal() == {"password": CANARY}


async def test_an_identity_s_account_may_lie_with_a_provider(tmp_path: Path) -> None:
    with keeping(google({})) as tokens:
        account = {"client_email": "a@b", "private_key": PRIVATE, "token_uri": f"{tokens.url}/token"}
        (tmp_path / "account").write_text(json.dumps(account))
        settings = {"target_audience": "https://run.example", "ref": "account"}
        asks = wanted("who", kind="google_id_token", provider="file", settings=settings)

        found = await resolver(keychain_development=True, keychain_folder=tmp_path).resolve(asks)
        assert found.provider == "google"
        assert len(tokens.asked) == 1


async def test_an_account_that_a_playbook_logged_in_for_is_not_the_operators_word(tmp_path: Path) -> None:
    asked: list[str] = []

    class Guard:
        async def send(self, ask: Ask) -> Reply:
            asked.append(ask.url)
            return Reply(status=200, body=b"{}")

    account = {"client_email": "a@b", "private_key": PRIVATE, "token_uri": "http://10.0.0.1/token"}
    with keeping(keepers.vault({"account": [account]}, kv=2)) as server:
        section = {"address": server.url, "allow": []}
        (tmp_path / "p.yaml").write_text(json.dumps({"vault": section}))
        found = everyone(Settings(keychain_providers=tmp_path / "p.yaml"), Stored(), Guard())
        settings = {"target_audience": "x", "ref": "account", "auth": {"token": LOGIN}}

        with pytest.raises(ToolError, match="answered without `id_token`"):
            await found.resolve(wanted(kind="google_id_token", provider="vault", settings=settings))
    assert asked == ["http://10.0.0.1/token"]


@pytest.mark.parametrize(
    ("auth", "hosts"),
    [("written", ("secrets.example.org",)), ("declared", ("secrets.example.org",)), ("stored", None)],
)
async def test_a_playbook_s_hosts_bind_the_address_of_a_login_that_it_writes_out(
    auth: str, hosts: tuple[str, ...] | None, tmp_path: Path
) -> None:
    asked: list[Ask] = []

    class Guard:
        async def send(self, ask: Ask) -> Reply:
            asked.append(ask)
            return Reply(status=200, body=b"{}")

    account = {"client_email": "a@b", "private_key": PRIVATE, "token_uri": "https://x.example.net/token"}
    section = {"project": "p", "endpoint": "http://127.0.0.1:1", "allow": []}
    (tmp_path / "p.yaml").write_text(json.dumps({"gcp": section}))
    found = everyone(Settings(keychain_providers=tmp_path / "p.yaml"), Stored(), Guard())
    asks = wanted(
        provider="gcp",
        settings={"auth": account if auth == "written" else auth},
        given={
            "declared": Secret("declared", account, provider=DOCUMENT),
            "stored": Secret("stored", account, provider="keychain"),
        },
        hosts=("secrets.example.org",),
    )

    with pytest.raises(ToolError, match="gave no token for the login"):
        await found.resolve(asks)
    assert [(ask.url, ask.hosts) for ask in asked] == [(account["token_uri"], hosts)]


async def test_oauth2_logs_in_by_what_the_keychain_has() -> None:
    settings = {"endpoint": "http://127.0.0.1:1/token", "auth": "client"}

    assert "what `auth` names is one text" in await refusal(wanted(kind="oauth2", settings=settings))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"vault": {"address": "http://v"}}, "vault.allow: Field required"),
        ({"vault": {"address": "v:8200", "allow": []}}, "vault.address: "),
        ({"vault": {"address": "http://v", "allow": [], "token": "x"}}, "vault.token: Extra inputs are not permitted"),
        ({"vault": {"address": "http://v", "allow": [], "role_id_file": "r"}}, "role_id_file and secret_id_file together"),
        ({"vault": {"address": "http://v", "allow": [], "token_file": "t", "kubernetes_role": "r"}}, "name one login"),
        ({"nobody": {}}, "nobody: Extra inputs are not permitted"),
        ([1], "the file: "),
    ],
)  # fmt: skip
def test_a_wrong_section_is_told_by_its_place(
    section: Mapping[str, object], says: str, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(json.dumps(section))

    with pytest.raises(InvalidRequest) as raised:
        read_providers(tmp_path / "p.yaml")
    assert says in str(raised.value)


def test_the_file_of_the_docs_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/keychain.md").read_text()
    (tmp_path / "p.yaml").write_text("vault:" + text.partition("```text\nvault:")[2].partition("```")[0])

    assert [name for name, _ in read_providers(tmp_path / "p.yaml").sections()] == list(
        Providers.model_fields
    )


@pytest.mark.parametrize("text", [None, "a: [", "\x00"])
def test_a_file_that_is_none_is_told(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "p.yaml").write_text(text)

    with pytest.raises(InvalidRequest, match=r"the providers' file .*(cannot be read|is no YAML)"):
        read_providers(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    ("section", "files", "says"),
    [
        ({"vault": {"address": "http://127.0.0.1:1", "allow": ["*"]}}, {}, "has no login for it; set one"),
        ({"aws": {"region": "r", "allow": ["*"], "credentials_file": "DIR/a"}}, {"a": "[]"}, "is no JSON mapping"),
        ({"aws": {"region": "r", "allow": ["*"], "credentials_file": "DIR/a"}}, {"a": " "}, "is empty; write the login"),
        ({"gcp": {"allow": ["*"], "credentials_file": "DIR/a", "project": "p"}}, {}, "cannot be read (No such file"),
        ({"gcp": {"allow": ["*"], "credentials_file": "DIR/a"}}, {"a": '{"x": 1}'}, "'pg' names no project"),
        ({"azure": {"vault": "http://127.0.0.1:1", "allow": ["*"], "client_secret_file": "DIR/a"}}, {"a": "x"}, "no tenant_id and no client_id"),
        ({"k8s": {"namespace": "n", "allow": ["*"], "ca": "DIR/none", "token_file": "DIR/a"}}, {"a": "x"}, "authorities' file"),
    ],
)  # fmt: skip
async def test_a_login_that_is_none_is_told(
    section: Mapping[str, object], files: Mapping[str, str], says: str, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(json.dumps(section).replace("DIR", str(tmp_path)))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (provider,) = section

    assert says in await refusal(wanted(provider=provider), keychain_providers=tmp_path / "p.yaml")
