"""Changes of credentials: versions in log order whoever meets whom, and none without its record."""

from __future__ import annotations

import asyncio

import pytest

from noetl_stream.errors import InvalidRequest
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.scopes import name_for
from noetl_stream.keychain.sealing import Name, unseal
from noetl_stream.keychain.topic import KeychainTopic
from noetl_stream.wire.records import CredentialStored
from tests.keychain.conftest import NAME, GappyLog, keys_of, opened


async def put(topic: KeychainTopic, value: str, keys: Keys, name: Name = NAME) -> CredentialStored:
    return await topic.set(name, value, type=None, actor="ann@ops", keys=keys)


async def value_of(log: GappyLog, keys: Keys, name: Name = NAME) -> object:
    topic = opened(log)
    await topic.catch_up()
    stored = topic.standing.names[name].check()
    return await unseal(stored.versions[0], name=name, keys=keys)


async def test_another_value_is_the_next_version_and_the_one_before_is_gone(
    log: GappyLog, keys: Keys
) -> None:
    topic = opened(log)

    first, second = await put(topic, "one", keys), await put(topic, "two", keys)

    assert [each.versions[0].version for each in (first, second)] == [1, 2]
    assert len(second.versions) == 1
    assert await value_of(log, keys) == "two"


@pytest.mark.parametrize("count", [2, 5, 9])
async def test_those_who_set_one_credential_at_once_get_versions_in_log_order(
    count: int, log: GappyLog, keys: Keys
) -> None:
    await put(opened(log), "zero", keys)

    stored = await asyncio.gather(*(put(opened(log), f"value {n}", keys) for n in range(count)))

    last = {
        decoded.change: record.offset
        for record, decoded in log.decoded()
        if isinstance(decoded, CredentialStored)
    }
    in_log_order = sorted(stored, key=lambda each: last[each.change])
    versions = [each.versions[0].version for each in in_log_order]
    assert versions == sorted(set(versions))
    assert versions[0] > 1
    newest = stored.index(in_log_order[-1])
    assert await value_of(log, keys) == f"value {newest}"


async def test_after_compaction_it_stands_as_before(log: GappyLog, keys: Keys) -> None:
    for value in ("one", "two", "three"):
        await put(opened(log), value, keys)
    await put(opened(log), "other", keys, Name(tenant="acme", alias="gone"))
    await opened(log).delete(Name(tenant="acme", alias="gone"), "ann@ops")
    log.compact()

    assert await value_of(log, keys) == "three"
    assert (await put(opened(log), "four", keys)).versions[0].version == 4
    assert (await put(opened(log), "again", keys, Name(tenant="acme", alias="gone"))).versions[0].version == 2


async def test_a_rotation_keeps_the_fields_that_it_does_not_name_and_the_version_before(
    log: GappyLog, keys: Keys
) -> None:
    topic = opened(log)
    topic.now = lambda: 100.0
    await topic.set(NAME, {"host": "db", "password": "old"}, type="postgres", actor="ann", keys=keys)

    stored = await topic.rotate(NAME, {"password": "new"}, actor="bob", keys=keys, keep=60.0)

    assert await value_of(log, keys) == {"host": "db", "password": "new"}
    assert [each.version for each in stored.versions] == [2, 1]
    assert await unseal(stored.versions[1], name=NAME, keys=keys) == {"host": "db", "password": "old"}
    assert (stored.kept_until, stored.type) == (160.0, "postgres")


async def test_what_is_not_there_is_neither_rotated_nor_deleted(log: GappyLog, keys: Keys) -> None:
    await put(opened(log), "x", keys, Name(tenant="acme", alias="s3"))
    there = "there is no credential 'pg' of tenant 'acme'; there are s3"

    with pytest.raises(InvalidRequest, match=there):
        await opened(log).rotate(NAME, "x", actor=None, keys=keys)
    with pytest.raises(InvalidRequest, match=there):
        await opened(log).delete(NAME, None)
    assert [each.action for each in opened(log).standing.changes] == []


async def test_every_change_says_who_did_what_and_no_value(log: GappyLog, keys: Keys) -> None:
    topic = opened(log)
    await put(topic, "canary-one", keys)
    await topic.rotate(NAME, "canary-two", actor="bob", keys=keys)
    await topic.delete(NAME, "eve")
    log.compact()

    later = opened(log)
    await later.catch_up()

    said = [(each.action, each.version, each.actor) for each in later.standing.changes]
    assert said == [("set", 1, "ann@ops"), ("rotate", 2, "bob"), ("delete", None, "eve")]
    assert later.standing.names == {}
    assert b"canary" not in log.bytes


@pytest.mark.parametrize("owner", [None, "", "/"])
def test_what_is_for_no_path_is_for_nobody(owner: str | None) -> None:
    with pytest.raises(InvalidRequest, match="belongs to a path of the catalog"):
        name_for("acme", "pg", "shared", owner)


class TestAnotherKey:
    async def test_every_tenant_s_credentials_come_under_it_untouched(
        self, log: GappyLog, keys: Keys
    ) -> None:
        rival = Name(tenant="rival", alias="pg")
        before = await put(opened(log), "one", keys)
        await put(opened(log), "theirs", keys, rival)

        found = await opened(log).rotate_key("ann", keys_of(b"b", b"a"))

        assert set(found) == {NAME, rival}
        assert await value_of(log, keys_of(b"b")) == "one"
        assert await value_of(log, keys_of(b"b"), rival) == "theirs"
        topic = opened(log)
        await topic.catch_up()
        after = topic.standing.names[NAME].check()
        assert after.versions[0].ciphertext == before.versions[0].ciphertext
        assert after.versions[0].version == 1
        assert await opened(log).rotate_key("ann", keys_of(b"b")) == ()

    async def test_the_version_before_comes_along(self, log: GappyLog, keys: Keys) -> None:
        await put(opened(log), "one", keys)
        await opened(log).rotate(NAME, "two", actor=None, keys=keys)

        await opened(log).rotate_key("ann", keys_of(b"b", b"a"))

        topic = opened(log)
        await topic.catch_up()
        old = topic.standing.names[NAME].check().versions[1]
        assert await unseal(old, name=NAME, keys=keys_of(b"b")) == "one"

    async def test_a_value_that_is_set_meanwhile_is_not_taken_back(self, log: GappyLog, keys: Keys) -> None:
        both = keys_of(b"b", b"a")
        for n in range(10):
            await put(opened(log), "old", keys)

            await asyncio.gather(opened(log).rotate_key("ann", both), put(opened(log), f"new {n}", both))

            assert await value_of(log, both) == f"new {n}"

    async def test_one_that_is_deleted_before_its_turn_is_passed_over(
        self, log: GappyLog, keys: Keys
    ) -> None:
        gone = Name(tenant="acme", alias="s3")
        await put(opened(log), "old", keys)
        await put(opened(log), "other", keys, gone)

        _, found = await asyncio.gather(
            opened(log).delete(gone, "ann"), opened(log).rotate_key("ann", keys_of(b"b", b"a"))
        )

        assert found == (NAME,)
        assert await value_of(log, keys_of(b"b")) == "old"

    async def test_what_is_deleted_meanwhile_stays_deleted(self, log: GappyLog, keys: Keys) -> None:
        for _ in range(10):
            await put(opened(log), "old", keys)

            await asyncio.gather(
                opened(log).rotate_key("ann", keys_of(b"b", b"a")), opened(log).delete(NAME, "ann")
            )

            topic = opened(log)
            await topic.catch_up()
            assert topic.standing.names == {}
