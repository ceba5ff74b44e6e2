"""A sealed credential opens under its own names and keys alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from noetl_stream.errors import InfrastructureError
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.sealing import Name, rewrap, seal, unseal
from noetl_stream.wire.records import Sealed
from tests.keychain.conftest import NAME, keys_of

SECRET = {"user": "etl", "password": "canary-5up3r"}


async def sealed(keys: Keys, name: Name = NAME, version: int = 1) -> Sealed:
    return await seal(SECRET, name=name, version=version, time=5.0, actor="ann", keys=keys)


async def test_what_was_sealed_is_opened_and_says_its_fields_names(keys: Keys) -> None:
    found = await sealed(keys)

    assert await unseal(found, name=NAME, keys=keys) == SECRET
    assert found.fields == ("user", "password")
    assert b"canary" not in repr(found).encode()


async def test_equal_secrets_are_sealed_differently(keys: Keys) -> None:
    one, other = await sealed(keys), await sealed(keys)

    assert {one.ciphertext, one.nonce, one.wrapped}.isdisjoint({other.ciphertext, other.nonce, other.wrapped})


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(NAME, tenant="rival"),
        replace(NAME, alias="s3"),
        replace(NAME, scope="global"),
        replace(NAME, scope="local", owner="other/playbook"),
    ],
)
async def test_bytes_moved_under_another_name_do_not_open(elsewhere: Name, keys: Keys) -> None:
    found = await sealed(keys)

    with pytest.raises(InfrastructureError, match="was the record changed"):
        await unseal(found, name=elsewhere, keys=keys)


@pytest.mark.parametrize("part", ["version", "nonce", "ciphertext", "wrapped"])
async def test_a_changed_record_does_not_open(part: str, keys: Keys) -> None:
    found = await sealed(keys)
    before = getattr(found, part)
    changed = 2 if part == "version" else bytes([before[0] ^ 1]) + before[1:]

    changes: dict[str, Any] = {part: changed}

    with pytest.raises(InfrastructureError, match="changed"):
        await unseal(replace(found, **changes), name=NAME, keys=keys)


@pytest.mark.parametrize("nonce", [b"", b"short", b"n" * 200])
async def test_a_record_without_a_nonce_does_not_open(nonce: bytes, keys: Keys) -> None:
    with pytest.raises(InfrastructureError, match="was changed after it was written"):
        await unseal(replace(await sealed(keys), nonce=nonce), name=NAME, keys=keys)


async def test_under_another_key_the_ciphertext_stays_as_it_was(keys: Keys) -> None:
    found = await sealed(keys)
    both = keys_of(b"b", b"a")

    moved = await rewrap(found, name=NAME, keys=both)

    assert (moved.key, moved.ciphertext, moved.nonce) == (both.current.id, found.ciphertext, found.nonce)
    assert await unseal(moved, name=NAME, keys=keys_of(b"b")) == SECRET
    assert await rewrap(moved, name=NAME, keys=both) is moved


async def test_a_key_that_is_not_here_is_named(keys: Keys) -> None:
    found = await sealed(keys)

    with pytest.raises(
        InfrastructureError, match=f"stands under the key {keys.current.id}, which is not here"
    ):
        await unseal(found, name=NAME, keys=keys_of(b"c"))
