"""What a worker is given: the nearest credential of its own tenant, fresh within seconds, and a clear word where there is none."""

from __future__ import annotations

import asyncio

import pytest

from noetl_stream.errors import InfrastructureError, ToolError
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.sealing import Name
from noetl_stream.keychain.stored import StoredCredentials
from noetl_stream.keychain.topic import FRESH
from tests.keychain.conftest import NAME, GappyLog, keys_of, opened, wanted


async def put(log: GappyLog, keys: Keys, value: str, name: Name = NAME) -> None:
    await opened(log).set(name, value, type=None, actor=None, keys=keys)


def worker(log: GappyLog, keys: Keys | None) -> StoredCredentials:
    return StoredCredentials(opened(log, history=False), keys)


async def given(stored: StoredCredentials, alias: str = "pg", **asked: object) -> object:
    return (await stored.resolve(wanted(alias, **asked))).reveal()


async def refusal(stored: StoredCredentials, alias: str = "pg", **asked: object) -> ToolError:
    with pytest.raises(ToolError) as refused:
        await stored.resolve(wanted(alias, **asked))
    assert refused.value.kind == "credential"
    return refused.value


async def test_a_credential_comes_with_what_audit_needs(log: GappyLog, keys: Keys) -> None:
    await put(log, keys, "one")
    await put(log, keys, "two")

    secret = await worker(log, keys).resolve(wanted("main", kind="credential", settings={"ref": "pg"}))

    assert secret.reveal() == "two"
    assert (secret.alias, secret.source, secret.provider, secret.version) == ("main", "pg", "keychain", 2)


async def test_one_that_was_set_just_now_is_found_although_the_topic_was_read_before(
    log: GappyLog, keys: Keys
) -> None:
    stored = worker(log, keys)
    await refusal(stored)

    await put(log, keys, "one")

    assert await given(stored) == "one"


async def test_another_value_is_seen_once_what_was_read_is_no_longer_fresh(log: GappyLog, keys: Keys) -> None:
    stored, clock = worker(log, keys), [0.0]
    stored.topic.clock = lambda: clock[0]
    await put(log, keys, "one")
    assert await given(stored) == "one"
    await put(log, keys, "two")

    clock[0] = FRESH / 2
    assert await given(stored) == "one"
    clock[0] = FRESH * 1.01
    assert await given(stored) == "two"


async def test_a_deleted_one_is_given_no_more(log: GappyLog, keys: Keys) -> None:
    stored, clock = worker(log, keys), [0.0]
    stored.topic.clock = lambda: clock[0]
    await put(log, keys, "one")
    assert await given(stored) == "one"

    await opened(log).delete(NAME, None)
    clock[0] = FRESH * 1.01

    assert "is not in the keychain" in (await refusal(stored)).message


async def test_many_who_ask_at_once_read_the_topic_once(log: GappyLog, keys: Keys) -> None:
    await put(log, keys, "one")
    stored, before = worker(log, keys), log.ends

    assert set(await asyncio.gather(*(given(stored) for _ in range(100)))) == {"one"}
    assert log.ends == before + 1


async def test_without_a_broker_no_old_value_is_given(log: GappyLog, keys: Keys) -> None:
    """Who cannot be told of a change must not go on with what was before it."""
    stored, clock = worker(log, keys), [0.0]
    stored.topic.clock = lambda: clock[0]
    await put(log, keys, "one")
    await given(stored)
    clock[0], log.down = FRESH * 1.01, InfrastructureError("no broker answers")

    error = await refusal(stored)

    assert error.retryable
    assert error.message == "credential 'pg' cannot be opened: no broker answers"


async def test_no_tenant_is_given_what_another_has(log: GappyLog, keys: Keys) -> None:
    await put(log, keys, "theirs", Name(tenant="rival", alias="pg"))
    await put(log, keys, "theirs too", Name(tenant="rival", alias="pg", scope="global"))

    error = await refusal(worker(log, keys))

    assert error.message == (
        "credential 'pg' is not in the keychain of tenant 'acme' for playbook 'finance/daily/load'; "
        "set it with `noetl-stream keychain set pg`"
    )
    assert await given(worker(log, keys), tenant="rival") == "theirs"


class TestScopes:
    PLACES = (
        ("local", "finance/daily/load"),
        ("shared", "finance/daily"),
        ("shared", "finance"),
        ("catalog", ""),
        ("global", ""),
    )
    """Nearest first, for the playbook finance/daily/load."""

    async def test_the_nearest_one_is_given(self, log: GappyLog, keys: Keys) -> None:
        stored = worker(log, keys)
        for scope, owner in reversed(self.PLACES):
            await put(
                log, keys, f"{scope} {owner}", Name(tenant="acme", alias="pg", scope=scope, owner=owner)
            )

            await stored.topic.catch_up()
            assert await given(stored) == f"{scope} {owner}"

    @pytest.mark.parametrize(
        ("scope", "owner"),
        [
            ("local", "finance/daily"),
            ("local", "finance/daily/other"),
            ("shared", "sales"),
            ("shared", "fin"),
        ],
    )
    async def test_what_is_another_playbook_s_is_not_given(
        self, scope: str, owner: str, log: GappyLog, keys: Keys
    ) -> None:
        await put(log, keys, "x", Name(tenant="acme", alias="pg", scope=scope, owner=owner))

        await refusal(worker(log, keys))

    async def test_who_says_a_scope_is_given_that_one_alone(self, log: GappyLog, keys: Keys) -> None:
        await put(log, keys, "for all")

        assert "in scope local" in (await refusal(worker(log, keys), scope="local")).message
        assert await given(worker(log, keys), scope="catalog") == "for all"
        assert await given(worker(log, keys), settings={"scope": "catalog"}) == "for all"

    async def test_the_platform_s_own_playbooks_are_given_global_ones_alone(
        self, log: GappyLog, keys: Keys
    ) -> None:
        await put(log, keys, "catalog")
        await refusal(worker(log, keys), path="system/cleanup")

        await put(log, keys, "global", Name(tenant="acme", alias="pg", scope="global"))

        assert await given(worker(log, keys), path="system/cleanup") == "global"


class TestVersions:
    async def test_the_version_before_is_given_by_its_number_while_it_is_kept(
        self, log: GappyLog, keys: Keys
    ) -> None:
        await put(log, keys, "one")
        writer = opened(log)
        writer.now = lambda: 100.0
        await writer.rotate(NAME, "two", actor=None, keys=keys, keep=60.0)
        stored = worker(log, keys)

        stored.topic.now = lambda: 159.0
        assert await given(stored, settings={"version": 1}) == "one"
        assert await given(stored, settings={"version": "2"}) == "two"
        assert await given(stored) == "two"
        stored.topic.now = lambda: 160.0
        assert (
            "is not kept in version 1; its newest is 2"
            in (await refusal(stored, settings={"version": 1})).message
        )


class TestNoKey:
    async def test_a_worker_without_a_key_says_so(self, log: GappyLog, keys: Keys) -> None:
        await put(log, keys, "canary")

        error = await refusal(worker(log, None))

        assert "this worker has no key; name its file in NOETL_STREAM_KEYCHAIN_KEY_FILE" in error.message

    async def test_a_worker_with_another_key_says_which_it_lacks(self, log: GappyLog, keys: Keys) -> None:
        await put(log, keys, "canary")

        error = await refusal(worker(log, keys_of(b"z")))

        assert f"stands under the key {keys.current.id}, which is not here" in error.message

    async def test_during_a_rotation_either_key_will_do(self, log: GappyLog, keys: Keys) -> None:
        await put(log, keys, "one")
        stored = worker(log, keys_of(b"b", b"a"))

        assert await given(stored) == "one"
        await opened(log).rotate_key(None, keys_of(b"b", b"a"))
        await stored.topic.catch_up()
        assert await given(stored) == "one"


async def test_a_record_that_cannot_be_read_concerns_its_own_alias_alone(log: GappyLog, keys: Keys) -> None:
    await put(log, keys, "fine", Name(tenant="acme", alias="s3"))
    await put(log, keys, "one")
    await log.append("noetl.keychain", b"\xc3\x01garbage!!", key=NAME.key)
    stored = worker(log, keys)

    assert await given(stored, "s3") == "fine"
    assert "no schema with fingerprint" in (await refusal(stored)).message
    await put(log, keys, "two")
    await stored.topic.catch_up()
    assert await given(stored) == "two"


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(log: GappyLog, keys: Keys) -> None:
    for value in ("one", "two", "three"):
        await put(log, keys, value)
    await put(log, keys, "gone", Name(tenant="acme", alias="s3"))
    stored = worker(log, keys)
    assert await given(stored) == "three"

    log.recreate()
    await put(log, keys, "anew")
    await stored.topic.catch_up()

    assert await given(stored) == "anew"
    await refusal(stored, "s3")
