"""One contract for every outside keeper of secrets, each asked over its own protocol."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.keychain.asking import Direct
from noetl_stream.keychain.providers.aws import Aws
from noetl_stream.keychain.providers.azure import Azure
from noetl_stream.keychain.providers.development import Files, Variables
from noetl_stream.keychain.providers.google import Google
from noetl_stream.keychain.providers.kubernetes import Kubernetes
from noetl_stream.keychain.providers.provided import Provided
from noetl_stream.keychain.providers.service import Login, Service
from noetl_stream.keychain.providers.vault import Vault
from noetl_stream.keychain.resolving import Resolver
from noetl_stream.ports.credentials import Secret, Wanted
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.wiring_keychain import Guarded
from noetl_stream.worker.credentials import FROM_DOCUMENT
from tests.cache.s3 import s3_server
from tests.certificates import certificates
from tests.keychain import keepers
from tests.keychain.conftest import wanted
from tests.keychain.keepers import CANARY, LOGIN, PRIVATE, Keeper, keeping

FIELDS = {"user": "etl", "password": CANARY}
SECRETS: Mapping[str, list[Any]] = {
    "db": [{"user": "etl", "password": "older-s3cr3t"}, FIELDS],
    "nested": [{"login": json.dumps({"password": CANARY}), "void": ""}],
    "empty": [{}],
}
AWS = {"access_key_id": "AKIATEST", "secret_access_key": LOGIN}
ACCOUNT = {"client_email": "etl@shop.example", "private_key": PRIVATE}


@dataclass(frozen=True)
class Kept:
    """A keeper with SECRETS in it, and logins that are right and wrong."""

    name: str
    service: Service
    right: Login
    wrong: Login | None = None
    versions: tuple[str, int | None] | None = None
    server: Keeper | None = None

    def asked(self, *, login: Login | None = None, allow: tuple[str, ...] = ("*",)) -> Provided:
        own = login or self.right
        return Provided(
            name=self.name,
            service=self.service,
            own=lambda: own,
            others=Resolver(document=FROM_DOCUMENT, stored=NOBODY),
            allow=allow,
        )


class Nobody:
    """A keychain in which nothing is."""

    async def resolve(self, wanted: Wanted) -> Secret:
        raise ToolError(f"credential '{wanted.alias}' is not in the keychain", kind="credential")


NOBODY = Nobody()


def login(**fields: str) -> Login:
    return Login(fields=fields)


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    """moto's Secrets Manager and parameters, filled once."""
    with s3_server() as server:
        signed = Aws(sender=Direct(), region="us-east-1", endpoint=server.endpoint)
        for name, versions in SECRETS.items():
            for turn, each in enumerate(versions):
                _put(
                    signed,
                    "secretsmanager",
                    "CreateSecret" if turn == 0 else "PutSecretValue",
                    name,
                    json.dumps(each),
                )
                _put(signed, "ssm", "PutParameter", name, json.dumps(each))
        yield server.endpoint


def _put(aws: Aws, service: str, action: str, name: str, text: str) -> None:
    """As somebody else wrote it there, with a client that is not the one under test but for its signature."""
    named = {"CreateSecret": {"Name": name}, "PutSecretValue": {"SecretId": name}}
    told: dict[str, object] = {**named.get(action, {}), "SecretString": text}
    if service == "ssm":
        told = {"Name": f"/{name}", "Value": text, "Type": "SecureString", "Overwrite": True}
    target = {"secretsmanager": "secretsmanager", "ssm": "AmazonSSM"}[service]
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{target}.{action}"}
    content, url = json.dumps(told).encode(), f"{aws.endpoint}/"
    signed = aws._signed(service, url, content, headers, Login(fields=AWS))
    # Its first answer of each service loads that service: long on a busy machine.
    httpx.post(url, content=content, headers=dict(signed), trust_env=False, timeout=60).raise_for_status()


def _made(kind: str, server: Keeper | None, folder: Path, aws: str) -> Kept:
    direct, url = Direct(timeout=5), server.url if server else ""
    wrong = login(token="wr0ng-l0gin")
    match kind:
        case "vault" | "vault v1":
            keeper = Vault(sender=direct, address=url, kv=2 if kind == "vault" else 1)
            return Kept(
                "vault", keeper, login(token=LOGIN), wrong, ("1", 1) if kind == "vault" else None, server
            )
        case "vault approle":
            right, wrong = login(role_id="r", secret_id=LOGIN), login(role_id="r", secret_id="wr0ng-l0gin")
            return Kept("vault", Vault(sender=direct, address=url), right, wrong, ("1", 1), server)
        case "vault kubernetes":
            right, wrong = login(role="r", jwt=LOGIN), login(role="r", jwt="wr0ng-l0gin")
            return Kept("vault", Vault(sender=direct, address=url), right, wrong, ("1", 1), server)
        case "gcp":
            account = Login(fields={**ACCOUNT, "token_uri": f"{url}/token"})
            other = Login(fields={**account.fields, "private_key": keepers.PUBLIC})
            google = Google(sender=direct, guarded=direct, project="shop", endpoint=url, metadata=url)
            return Kept("gcp", google, account, other, ("1", 1), server)
        case "gcp machine":
            google = Google(sender=direct, guarded=direct, project="shop", endpoint=url, metadata=url)
            return Kept("gcp", google, Login(fields={}, ambient=True), None, ("1", 1), server)
        case "azure" | "azure machine":
            right = login(tenant_id="dir", client_id="app", client_secret=LOGIN)
            wrong = login(tenant_id="dir", client_id="app", client_secret="wr0ng-l0gin")
            machine = Login(fields={}, ambient=True)
            azure = Azure(sender=direct, vault=url, authority=url, metadata=url)
            return Kept("azure", azure, right if kind == "azure" else machine, wrong, ("1", None), server)
        case "k8s":
            cluster = Kubernetes(sender=direct, server=url, namespace="shop")
            return Kept("k8s", cluster, login(token=LOGIN), wrong, None, server)
        case "aws" | "aws parameters":
            there: Service = Aws(sender=direct, region="us-east-1", endpoint=aws)
            version = ("1", 1) if kind == "aws parameters" else ("AWSPREVIOUS", None)
            return Kept(
                "aws", Slashed(there) if kind == "aws parameters" else there, Login(fields=AWS), None, version
            )
        case "env":
            variables = {name: json.dumps(each[-1]) for name, each in SECRETS.items()}
            return Kept("env", Variables(variables), Login(fields={}))
        case _:
            for name, each in SECRETS.items():
                (folder / name).write_text(json.dumps(each[-1]) + "\n")
            return Kept("file", Files(folder), Login(fields={}))


@dataclass(frozen=True)
class Slashed:
    """Parameters as AWS calls them, under the names that the contract has."""

    inner: Service

    async def read(self, ref: str, version: str | None, login: Login) -> Any:
        return await self.inner.read(f"/{ref}", version, login)


_SERVERS: Mapping[str, Callable[[Mapping[str, list[Any]]], Callable[[keepers.Asked], keepers.Answer]]] = {
    "vault": lambda secrets: keepers.vault(secrets, kv=2),
    "vault v1": lambda secrets: keepers.vault(secrets, kv=1),
    "vault approle": lambda secrets: keepers.vault(secrets, kv=2),
    "vault kubernetes": lambda secrets: keepers.vault(secrets, kv=2),
    "gcp": keepers.google,
    "gcp machine": keepers.google,
    "azure": keepers.azure,
    "azure machine": keepers.azure,
    "k8s": keepers.kubernetes,
}
REMOTE = tuple(_SERVERS)
AWS_KINDS = tuple(pytest.param(kind, marks=pytest.mark.slow) for kind in ("aws", "aws parameters"))
KINDS = (*REMOTE, *AWS_KINDS, "env", "file")


@pytest.fixture
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    kind: str = request.param
    aws = request.getfixturevalue("aws_url") if kind.startswith("aws") else ""
    if kind not in _SERVERS:
        yield _made(kind, None, tmp_path, aws)
        return
    with keeping(_SERVERS[kind](SECRETS)) as server:
        yield _made(kind, server, tmp_path, aws)


every = pytest.mark.parametrize("kept", KINDS, indirect=True)
remote = pytest.mark.parametrize("kept", REMOTE, indirect=True)


async def refusal(provided: Provided, asks: Wanted) -> ToolError:
    """The error, which tells of the credential and of its provider, and never what is secret."""
    with pytest.raises(ToolError) as raised:
        await provided.resolve(asks)
    error = raised.value
    assert error.kind == "credential"
    assert f"credential '{asks.alias}' cannot be had from {provided.name}: " in error.message
    for secret in (CANARY, LOGIN, "wr0ng-l0gin", "older-s3cr3t", PRIVATE[40:60]):
        assert secret not in str(error) + repr(error.__cause__)
    return error


@every
async def test_it_gives_the_newest_version_s_fields(kept: Kept) -> None:
    found = await kept.asked().resolve(wanted("main", settings={"ref": "db"}))

    assert found.reveal() == FIELDS
    assert (found.alias, found.provider, found.source, found.operators) == ("main", kept.name, "db", True)


@every
async def test_an_alias_is_its_name_where_nothing_else_is_said(kept: Kept) -> None:
    assert (await kept.asked().resolve(wanted("db"))).reveal() == FIELDS


@every
async def test_one_field_is_picked_or_several_are_renamed(kept: Kept) -> None:
    picked = await kept.asked().resolve(wanted(settings={"ref": "db", "key": "password"}))
    renamed = await kept.asked().resolve(wanted(settings={"ref": "db", "map": {"pw": "password"}}))
    gathered = await kept.asked().resolve(wanted(settings={"map": {"whole": "db", "pw": "db#password"}}))
    bearer = await kept.asked().resolve(wanted(kind="bearer", settings={"ref": "db", "key": "password"}))

    assert picked.reveal() == CANARY
    assert renamed.reveal() == {"pw": CANARY}
    assert gathered.reveal() == {"whole": FIELDS, "pw": CANARY}
    assert bearer.reveal() == {"token": CANARY}


@every
async def test_an_older_version_is_given_where_there_are_any(kept: Kept) -> None:
    version, number = kept.versions or ("1", None)
    asks = wanted(settings={"ref": "db", "key": "password", "version": version})
    if kept.versions is None:
        assert "version" in (await refusal(kept.asked(), asks)).message
        return
    found = await kept.asked().resolve(asks)
    assert (found.reveal(), found.version) == ("older-s3cr3t", number)


@every
async def test_what_is_not_there_is_told_by_name(kept: Kept) -> None:
    error = await refusal(kept.asked(), wanted(settings={"ref": "nowhere"}))

    assert "nowhere'" in error.message
    assert not error.retryable
    missing = await refusal(kept.asked(), wanted(settings={"ref": "db", "key": "pin"}))
    assert "has no 'pin'; it has password, user" in missing.message


@every
async def test_nothing_empty_is_given(kept: Kept) -> None:
    for settings in (
        {"ref": "empty"},
        {"ref": "nested", "key": "void"},
        {"ref": "nested", "map": {"v": "void"}},
    ):
        assert (
            "is empty there; give it a value"
            in (await refusal(kept.asked(), wanted(settings=settings))).message
        )


@every
@pytest.mark.parametrize("ref", ["../db", "a/../db", "a//db", "db/.", "db\x00", "db\n"])
async def test_a_name_leads_nowhere_else(kept: Kept, ref: str) -> None:
    assert "is no name of a secret" in (await refusal(kept.asked(), wanted(settings={"ref": ref}))).message


@every
@pytest.mark.parametrize("version", ["../../db/versions/2", "..", ".", "1/..", "1\n"])
async def test_a_version_leads_nowhere_else(kept: Kept, version: str) -> None:
    """It stands in addresses behind the name, which alone is held against `allow`."""
    asks = wanted(settings={"ref": "nested", "version": version})

    assert "is no version; write" in (await refusal(kept.asked(allow=("nested",)), asks)).message


@every
async def test_a_tenant_reads_what_the_platform_lets_it(kept: Kept) -> None:
    provided = kept.asked(allow=("{tenant}-*", "common/*"))

    assert "none of those that tenant 'acme' may read" in (await refusal(provided, wanted("db"))).message
    for settings in ({"map": {"x": "db#password"}}, {"ref": "db", "map": {"x": "user"}}):
        await refusal(provided, wanted(settings=settings))
    mine = kept.asked(allow=("d[b]",))
    assert (await mine.resolve(wanted("db"))).reveal() == FIELDS
    await refusal(kept.asked(allow=("{tenant}",)), wanted("db", tenant="*"))


@remote
async def test_a_wrong_login_is_refused_and_not_tried_again(kept: Kept) -> None:
    if kept.wrong is None:
        assert kept.server is not None
        kept.server.fails = (403, {"error": CANARY})
    error = await refusal(kept.asked(login=kept.wrong), wanted("db"))

    assert not error.retryable
    assert "login was refused (40" in error.message or "is no RSA key" in error.message


@remote
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_keeper_that_is_unwell_may_be_asked_again(kept: Kept, status: int) -> None:
    assert kept.server is not None
    kept.server.fails = (status, {"error": CANARY, "value": LOGIN})
    provided = kept.asked()

    error = await refusal(provided, wanted("db"))
    assert (error.retryable, f"the answer was {status}" in error.message) == (True, True)
    kept.server.fails = None
    assert (await provided.resolve(wanted("db"))).reveal() == FIELDS


@remote
@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"{}", b'{"data": {}, "auth": null}'])
async def test_an_answer_that_is_none_is_no_secret(kept: Kept, body: bytes) -> None:
    assert kept.server is not None
    kept.server.fails = (200, body)

    assert not (await refusal(kept.asked(), wanted("db"))).retryable


@remote
async def test_a_keeper_that_does_not_answer_is_waited_for_no_longer_than_said(kept: Kept) -> None:
    assert kept.server is not None
    kept.server.hangs = True
    for direct in _directs(kept.service):
        direct._timeout = 0.05

    error = await refusal(kept.asked(), wanted("db"))
    assert (error.retryable, "no answer within 0.05 s" in error.message) == (True, True)


def _directs(service: Service) -> list[Direct]:
    found = (getattr(service, name, None) for name in ("sender", "guarded"))
    return [each for each in found if isinstance(each, Direct)]


async def test_a_refused_connection_may_be_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        kept = Kept("vault", Vault(sender=Direct(), address=address), login(token=LOGIN))
        error = await refusal(kept.asked(), wanted("db"))

    assert (error.retryable, "there was no answer" in error.message) == (True, True)


@pytest.mark.parametrize("token", ["line\nbreak" + LOGIN, "é" + LOGIN])
async def test_a_login_that_no_header_carries_is_not_repeated(token: str) -> None:
    with keeping(keepers.vault(SECRETS, kv=2)) as server:
        kept = Kept("vault", Vault(sender=Direct(), address=server.url), login(token=token))
        error = await refusal(kept.asked(), wanted("db"))

    assert "has characters that no HTTP header has" in error.message


@pytest.mark.parametrize("kept", ["vault approle", "gcp", "azure"], indirect=True)
async def test_a_session_is_begun_once_and_again_when_it_was_revoked(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.server is not None
    server, provided, now = kept.server, kept.asked(), [0.0]
    monkeypatch.setattr(kept.service._sessions._held, "_clock", lambda: now[0])  # type: ignore[attr-defined]
    for alias in ("db", "nested"):
        await provided.resolve(wanted(alias))
    assert len(begun(server)) == 1

    now[0] = 60.0
    answer = server.answer
    refused = iter([True])
    server.answer = lambda asked: answer(asked) if is_login(asked) or not next(refused, False) else (401, {})
    assert (await provided.resolve(wanted(settings={"ref": "db", "version": "1"}))).alias == "pg"
    assert len(begun(server)) == 2


def begun(server: Keeper) -> list[keepers.Asked]:
    return [each for each in server.asked if is_login(each)]


def is_login(asked: keepers.Asked) -> bool:
    return "token" in asked.path or "login" in asked.path


async def test_what_was_read_is_held_for_all_who_may_read_it() -> None:
    with keeping(keepers.vault(SECRETS, kv=2)) as server:
        kept = Kept("vault", Vault(sender=Direct(), address=server.url), login(token=LOGIN))
        provided = kept.asked()
        for _ in range(3):
            await provided.resolve(wanted("db"))
            await provided.resolve(wanted("other", settings={"ref": "db", "key": "user"}))

        assert len(server.asked) == 1


async def test_a_playbook_may_log_in_by_a_credential_of_its_own() -> None:
    with keeping(keepers.vault(SECRETS, kv=2)) as server:
        kept = Kept("vault", Vault(sender=Direct(), address=server.url), login(token="wr0ng-l0gin"))
        provided = kept.asked(allow=())
        given = {"mine": Secret("mine", {"token": LOGIN})}

        found = await provided.resolve(wanted(settings={"ref": "db", "auth": "mine"}, given=given))
        assert (found.reveal(), found.operators) == (FIELDS, False)
        unknown = await refusal(provided, wanted(settings={"ref": "db", "auth": "yours"}))
        assert "credential 'yours' is not in the keychain" in unknown.message
        await refusal(provided, wanted(settings={"ref": "db"}))


@pytest.mark.parametrize(
    ("told", "status", "says", "retryable"),
    [
        ("AccessDeniedException", 400, "login was refused (403)", False),
        ("UnrecognizedClientException", 400, "login was refused (403)", False),
        ("com.amazonaws.secretsmanager#ResourceNotFoundException", 400, "there is no secret 'db'", False),
        ("ThrottlingException", 400, "the answer was 429", True),
        ("InvalidRequestException", 400, "the answer was 400", False),
        ("InternalServiceError", 500, "the answer was 500", True),
    ],
)
async def test_aws_is_told_by_its_error_types(told: str, status: int, says: str, retryable: bool) -> None:
    with keeping(lambda asked: (status, {"__type": told, "message": CANARY})) as server:
        aws = Aws(sender=Direct(), region="eu-central-1", endpoint=server.url)
        error = await refusal(Kept("aws", aws, Login(fields=AWS)).asked(), wanted("db"))
        (asked,) = server.asked

    assert (says in error.message, error.retryable) == (True, retryable)
    assert "Credential=AKIATEST/" in asked.headers["authorization"]
    assert "/eu-central-1/secretsmanager/aws4_request" in asked.headers["authorization"]
    assert LOGIN not in repr(asked)


async def test_aws_looks_for_no_login_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    with keeping(lambda asked: (200, {"SecretString": "x"})) as server:
        aws = Aws(sender=Direct(), region="us-east-1", endpoint=server.url)
        error = await refusal(Kept("aws", aws, Login(fields={})).asked(), wanted("db"))
        assert "its login has no access_key_id and no secret_access_key" in error.message
        assert server.asked == []

        await Kept("aws", aws, Login(fields={}, ambient=True)).asked().resolve(wanted("db"))
        assert "Credential=AKIAAMBIENT/" in server.asked[0].headers["authorization"]


async def test_a_machine_s_login_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "n0b0dy")
    aws = Aws(sender=Direct(), region="us-east-1", endpoint="http://127.0.0.1:1")

    error = await refusal(Kept("aws", aws, Login(fields={}, ambient=True)).asked(), wanted("db"))
    assert "this machine's own AWS login cannot be read (ProfileNotFound)" in error.message


@contextmanager
def blurting(answer: bytes) -> Iterator[str]:
    """Who answers one question with these bytes, whatever it was."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (CANARY.encode() + b"\r\n\r\n", "there was no answer (RemoteProtocolError)"),
        (b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\r\n\r\n", "there was no answer (RemoteProtocolError)"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "encoding that cannot be read"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("guarded", [False, True])
async def test_what_is_no_http_is_not_repeated(answer: bytes, says: str, guarded: bool) -> None:
    client = GuardedClient(allow_private=True)
    sender = Guarded(client=client, timeout=5) if guarded else Direct(timeout=5)
    with blurting(answer) as address:
        kept = Kept("vault", Vault(sender=sender, address=address), login(token=LOGIN))
        assert says in (await refusal(kept.asked(), wanted("db"))).message
    await client.close()


async def test_a_server_is_known_by_its_certificate_however_its_address_is_written(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    with keeping(keepers.vault(SECRETS, kv=2), tls=context) as server:
        for address in (server.url, server.url.replace("https", "HTTPS")):
            keeper = Vault(sender=Direct(ca=made.authority), address=address)
            kept = Kept("vault", keeper, login(token=LOGIN))
            assert (await kept.asked().resolve(wanted("db"))).reveal() == FIELDS
            stranger = Kept("vault", Vault(sender=Direct(), address=address), login(token=LOGIN))
            assert "CERTIFICATE_VERIFY_FAILED" in (await refusal(stranger.asked(), wanted("db"))).message


async def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noetl_stream.keychain.providers.aws.find_spec", lambda name: None)
    aws = Aws(sender=Direct(), region="us-east-1", endpoint="http://127.0.0.1:1")

    error = await refusal(Kept("aws", aws, Login(fields=AWS)).asked(), wanted("db"))
    assert error.message.endswith("botocore is not installed on this worker; pip install 'noetl-stream[aws]'")


async def test_files_stay_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "outside").write_text(CANARY)
    (tmp_path / "secrets/link").symlink_to(tmp_path / "outside")
    (tmp_path / "secrets/bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "secrets/line").write_text(CANARY + "\n")
    os.mkfifo(tmp_path / "secrets/pipe")
    provided = Kept("file", Files(tmp_path / "secrets"), Login(fields={})).asked()

    assert "leads out of the folder" in (await refusal(provided, wanted("link"))).message
    assert "is no text" in (await refusal(provided, wanted("bytes"))).message
    assert "there is no file 'pipe'" in (await refusal(provided, wanted("pipe"))).message
    assert (await provided.resolve(wanted("line"))).reveal() == CANARY
