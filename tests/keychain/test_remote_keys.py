"""Keys in services wrap what a key file wraps, and tell the platform's people what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.keychain.asking import Direct
from noetl_stream.keychain.key_file import new_key_file
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.providers.aws import Aws
from noetl_stream.keychain.providers.config import read_providers
from noetl_stream.keychain.providers.service import Login
from noetl_stream.keychain.remote_key import RemoteKey, remote_key
from noetl_stream.keychain.sealing import rewrap, seal, unseal
from noetl_stream.settings import Settings
from noetl_stream.wiring_keychain import keys_of
from tests.cache.s3 import s3_server
from tests.keychain import keepers
from tests.keychain.conftest import NAME
from tests.keychain.keepers import CANARY, LOGIN, Keeper, keeping

AWS = {"access_key_id": "AKIATEST", "secret_access_key": LOGIN}


@pytest.fixture
def server() -> Iterator[Keeper]:
    with keeping(keepers.vault({}, kv=2)) as server:
        yield server


@pytest.fixture
def providers(server: Keeper, tmp_path: Path) -> Path:
    """The file that names the server and a login for it."""
    (tmp_path / "token").write_text(LOGIN + "\n")
    told = {"vault": {"address": server.url, "allow": [], "token_file": str(tmp_path / "token")}}
    (tmp_path / "providers.yaml").write_text(json.dumps(told))
    return tmp_path / "providers.yaml"


def vault_key(providers: Path) -> RemoteKey:
    return remote_key("vault:kek", read_providers(providers), 5.0)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("aws")
    (folder / "login.json").write_text(json.dumps(AWS))
    with s3_server() as there:
        told = {
            "region": "us-east-1",
            "endpoint": there.endpoint,
            "allow": [],
            "credentials_file": str(folder / "login.json"),
        }
        (folder / "providers.yaml").write_text(json.dumps({"aws": told}))
        yield folder / "providers.yaml"


async def kms_key(providers: Path) -> RemoteKey:
    told = read_providers(providers)
    assert told.aws is not None
    aws = Aws(sender=Direct(), region=told.aws.region, endpoint=told.aws.endpoint)
    made = await aws.call("kms", "CreateKey", {}, Login(fields=AWS), "key")
    return remote_key(f"aws:{made['KeyMetadata']['KeyId']}", told, 5.0)


async def check(key: RemoteKey, other: RemoteKey) -> None:
    """What every key-encryption key does."""
    wrapped = await key.wrap(b"d" * 32, b"pg 1")

    assert b"d" * 8 not in wrapped
    assert await key.unwrap(wrapped, b"pg 1") == b"d" * 32
    for bad, bound in ((wrapped, b"pg 2"), (wrapped[:-4] + b"AAA=", b"pg 1"), (b"", b"pg 1")):
        with pytest.raises(InfrastructureError, match=rf"^the key {key.id} did not unwrap: "):
            await other.unwrap(bad, bound)


async def test_a_key_of_vault_wraps_for_one_and_unwraps_for_no_other(providers: Path) -> None:
    await check(vault_key(providers), vault_key(providers))


@pytest.mark.slow
async def test_a_key_of_kms_wraps_for_one_and_unwraps_for_no_other(moto: Path) -> None:
    key = await kms_key(moto)
    await check(key, key)


async def test_credentials_move_from_a_file_s_key_to_a_service_s(providers: Path, tmp_path: Path) -> None:
    file = new_key_file(tmp_path / "old")
    sealed = await seal(CANARY, name=NAME, version=1, time=0.0, actor=None, keys=Keys(current=file))
    settings = Settings(
        keychain_key="vault:kek", keychain_old_key_files=(tmp_path / "old",), keychain_providers=providers
    )
    keys = keys_of(settings)
    assert keys is not None

    moved = await rewrap(sealed, name=NAME, keys=keys)
    assert (moved.key, moved.ciphertext) == ("vault:kek", sealed.ciphertext)
    assert await unseal(moved, name=NAME, keys=Keys(current=vault_key(providers))) == CANARY


async def test_a_service_that_refuses_is_the_platform_s_trouble(server: Keeper, providers: Path) -> None:
    server.fails = (403, {"errors": [CANARY]})
    with pytest.raises(
        InfrastructureError, match=r"the key vault:kek did not wrap: the login was refused \(403\)"
    ):
        await vault_key(providers).wrap(b"d" * 32, b"")

    (providers.parent / "token").unlink()
    with pytest.raises(InfrastructureError, match="token cannot be read"):
        await vault_key(providers).wrap(b"d" * 32, b"")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("kek", "'kek' is no key of a service; write vault:NAME or aws:KEY"),
        ("vault:", "is no key of a service"),
        ("gcp:kek", "is no key of a service"),
        ("aws:kek", "needs a section `aws` in the file of NOETL_STREAM_KEYCHAIN_PROVIDERS"),
    ],
)
def test_a_key_that_cannot_be_is_refused_at_once(name: str, says: str, providers: Path) -> None:
    with pytest.raises(InvalidRequest, match=says):
        keys_of(Settings(keychain_key=name, keychain_providers=providers))


def test_one_key_is_the_current_one(tmp_path: Path) -> None:
    assert keys_of(Settings()) is None
    with pytest.raises(InvalidRequest, match="both name the key"):
        keys_of(Settings(keychain_key="vault:kek", keychain_key_file=tmp_path / "k"))
