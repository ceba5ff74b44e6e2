"""The nats tool and NATS as a subscription's source, against a real server with JetStream."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.nats.tool import Nats
from noetl_stream.tools.subscription.tool import Subscription
from tests import nats_server
from tests.children import HOST
from tests.tools.conftest import Run, call, runner

pytestmark = pytest.mark.slow


def secret(server: nats_server.Server, *, provider: str | None = None, **fields: Any) -> Mapping[str, Secret]:
    given = {"host": HOST, "port": server.port, "user": nats_server.USER, "password": server.password}
    return {"bus": Secret("bus", given | fields, provider=provider)}


@pytest.fixture
async def client(jetstream: nats_server.Server) -> AsyncIterator[Client]:
    client = await nats.connect(jetstream.url, allow_reconnect=False)
    yield client
    await client.close()


@pytest.fixture
async def bucket(client: Client) -> str:
    name = f"b{uuid4().hex[:8]}"
    await client.jetstream().create_key_value(bucket=name)
    return name


@pytest.fixture
async def stream(client: Client) -> str:
    """A stream of all subjects under its name, with a durable pull consumer `work`."""
    name = f"s{uuid4().hex[:8]}"
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    await client.jetstream().add_consumer(name, ConsumerConfig(durable_name="work", ack_wait=30))
    return name


@pytest.fixture
def run(jetstream: nats_server.Server) -> Run:
    return runner(Nats(), credentials=secret(jetstream))


@pytest.fixture
def drain(jetstream: nats_server.Server) -> Run:
    return runner(Subscription(None, Reach()), credentials=secret(jetstream))


class TestBuckets:
    async def test_what_was_put_is_got_until_it_is_deleted(self, run: Run, bucket: str) -> None:
        await run({"operation": "put", "bucket": bucket, "key": "a", "value": {"n": 1}})
        await run({"operation": "put", "bucket": bucket, "key": "b", "value": "007"})

        found = [
            (await run({"operation": "get", "bucket": bucket, "key": key}))["value"] for key in ("a", "b")
        ]
        listed = await run({"operation": "keys", "bucket": bucket})
        await run({"operation": "delete", "bucket": bucket, "key": "a"})
        with pytest.raises(ToolError, match="no such bucket, key") as gone:
            await run({"operation": "get", "bucket": bucket, "key": "a"})

        assert found == [{"n": 1}, "007"]
        assert listed["keys"] == ["a", "b"]
        assert (gone.value.kind, gone.value.status, gone.value.code) == ("client_error", 404, "not_found")

    async def test_keys_are_filtered_and_bounded(self, run: Run, bucket: str) -> None:
        for key in ("orders.1", "orders.2", "other"):
            await run({"operation": "put", "bucket": bucket, "key": key, "value": 1})

        found = await run({"operation": "keys", "bucket": bucket, "key": "orders.*", "limit": 1})
        none = await run({"operation": "keys", "bucket": bucket, "key": "nothing.*"})

        assert (found["keys"], found["truncated"], none["keys"]) == (["orders.1"], True, [])

    async def test_a_put_over_a_revision_happens_once(self, run: Run, bucket: str) -> None:
        config = {"operation": "put", "bucket": bucket, "key": "a"}

        first = [(await run({**config, "value": 1, "revision": 0}))["revision"] for _ in range(2)]
        second = await run({**config, "value": 2, "revision": first[0]})
        with pytest.raises(ToolError, match="another revision") as late:
            await run({**config, "value": 3, "revision": first[0]})

        assert first == [1, 1]
        assert (second["revision"], late.value.code) == (2, "exists")

    async def test_a_bucket_that_is_not_there_is_an_error(self, run: Run) -> None:
        with pytest.raises(ToolError, match="no such bucket") as found:
            await run({"operation": "put", "bucket": "nowhere", "key": "a", "value": 1})

        assert found.value.code == "not_found"


class TestMessages:
    async def test_one_effect_is_in_the_stream_once(self, run: Run, stream: str) -> None:
        config = {"operation": "publish", "subject": f"{stream}.new", "value": {"n": 1}}

        sent = [await run(config, effect_key="e-1") for _ in range(2)] + [await run(config, effect_key="e-2")]

        assert [(each["sequence"], each["duplicate"]) for each in sent] == [(1, False), (1, True), (2, False)]

    async def test_a_request_is_answered(self, run: Run, client: Client) -> None:
        async def answer(message: Msg) -> None:
            await message.respond(b'{"echo": "' + message.data + b'"}')

        subject = f"ask.{uuid4().hex[:8]}"
        await client.subscribe(subject, cb=answer)
        await client.flush()

        assert (await run({"operation": "request", "subject": subject, "value": "hi"}))["data"] == {
            "echo": "hi"
        }

    async def test_a_subject_without_anybody_is_told(self, run: Run) -> None:
        for operation, code in (("request", "no_responders"), ("publish", "no_responders")):
            with pytest.raises(ToolError) as found:
                await run({"operation": operation, "subject": "nobody.here", "value": 1})
            assert (found.value.kind, found.value.code) == ("client_error", code)
        assert await run(
            {"operation": "publish", "subject": "nobody.here", "value": 1, "jetstream": False}
        ) == {"subject": "nobody.here"}

    async def test_an_answer_that_does_not_come_is_a_timeout(self, run: Run, client: Client) -> None:
        async def ignore(message: Msg) -> None:
            """Nothing."""

        subject = f"ask.{uuid4().hex[:8]}"
        await client.subscribe(subject, cb=ignore)
        await client.flush()

        for config, timeout in (({"reply_seconds": 0.1}, 20.0), ({}, 0.2)):
            with pytest.raises(ToolError) as found:
                await run({"operation": "request", "subject": subject, "value": 1, **config}, timeout=timeout)
            assert (found.value.kind, found.value.retryable) == ("timeout", True)

    async def test_too_large_a_value_is_refused(self, run: Run, stream: str) -> None:
        with pytest.raises(ToolError, match="larger than the server takes") as found:
            await run({"operation": "publish", "subject": f"{stream}.x", "value": "x" * (2 << 20)})

        assert found.value.code == "too_large"


class TestWays:
    async def test_a_wrong_password_is_an_error_of_the_credential(
        self, jetstream: nats_server.Server
    ) -> None:
        wrong = runner(Nats(), credentials=secret(jetstream, password="not-the-word"))

        with pytest.raises(ToolError, match="refuses the credential") as found:
            await wrong({"operation": "keys", "bucket": "b"})

        assert (found.value.kind, found.value.retryable) == ("auth", False)
        assert "not-the-word" not in str(found.value)

    async def test_a_server_that_is_not_there_is_a_connection_to_try_again(self) -> None:
        nowhere = {"bus": Secret("bus", "nats://ann:s3cret-word@127.0.0.1:1")}

        with pytest.raises(ToolError, match=r"no NATS answers at 127\.0\.0\.1:1") as found:
            await runner(Nats())({"operation": "keys", "bucket": "b"}, credentials=nowhere)

        assert (found.value.kind, found.value.retryable) == ("connection", True)
        assert "s3cret" not in str(found.value)

    async def test_an_address_without_a_name_is_looked_at_too(self) -> None:
        written = {"bus": Secret("bus", "nats://[::1]:4222", provider=DOCUMENT)}

        with pytest.raises(ToolError, match="'::1' is none of the hosts") as found:
            await runner(Nats(allow_private=True))(
                {"operation": "keys", "bucket": "b"}, credentials=written, hosts=("example.org",)
            )

        assert found.value.code == "refused_host"

    async def test_a_server_that_the_document_names_is_looked_at(
        self, jetstream: nats_server.Server, bucket: str
    ) -> None:
        written, config = secret(jetstream, provider=DOCUMENT), {"operation": "keys", "bucket": bucket}

        with pytest.raises(ToolError, match="a private address") as closed:
            await runner(Nats())(config, credentials=written)
        with pytest.raises(ToolError, match="none of the hosts") as unlisted:
            await runner(Nats(allow_private=True))(config, credentials=written, hosts=("example.org",))

        assert (closed.value.code, unlisted.value.code) == ("refused_address", "refused_host")
        assert (await runner(Nats(allow_private=True))(config, credentials=written))["count"] == 0

    @pytest.mark.parametrize("fields", [{"user": "u"}, {"url": "nats://h:port"}, {"url": "nats://[::1"}])
    async def test_a_credential_without_an_address_is_named(self, fields: Any) -> None:
        with pytest.raises(ToolError, match="names no server") as found:
            await runner(Nats())(
                {"operation": "keys", "bucket": "b"}, credentials={"bus": Secret("bus", fields)}
            )

        assert found.value.kind == "credential"

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({"operation": "get", "key": "a"}, "needs a `bucket`"),
            ({"operation": "put", "bucket": "b"}, "needs a `key`"),
            ({"operation": "publish"}, "needs a `subject`"),
        ],
    )
    def test_a_config_that_says_too_little_is_refused(self, config: Any, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            call(Nats(), config)


class TestSubscription:
    async def test_messages_come_until_they_are_acknowledged(
        self, run: Run, drain: Run, stream: str, client: Client
    ) -> None:
        for number in range(3):
            await run(
                {"operation": "publish", "subject": f"{stream}.new", "value": {"n": number}},
                effect_key=f"e{number}",
            )
        config = {"source": "nats", "stream": stream, "consumer": "work", "timeout_ms": 300}

        first = await drain({**config, "batch": 2})
        kept, back = first["messages"]
        await drain({**config, "operation": "nack", "ids": [back["id"]]})
        acked = await drain({**config, "operation": "ack", "ids": [kept]})
        rest = await drain({**config, "ack": True})
        none = await drain(config)

        assert (first["status"], first["count"], first["acked"]) == ("ok", 2, 0)
        assert (kept["data"], kept["metadata"]["delivered"]) == ({"n": 0}, 1)
        assert acked["acked"] == 1
        assert sorted((m["data"]["n"], m["metadata"]["delivered"]) for m in rest["messages"]) == [
            (1, 2),
            (2, 1),
        ]
        assert (rest["acked"], none["status"], none["count"]) == (2, "empty", 0)
        assert (await client.jetstream().consumer_info(stream, "work")).num_ack_pending == 0

    async def test_a_consumer_that_is_not_there_is_told_at_once(self, drain: Run, stream: str) -> None:
        with pytest.raises(ToolError, match="no such") as found:
            await drain({"source": "nats", "stream": stream, "consumer": "nobody", "timeout_ms": 10_000})

        assert found.value.code == "not_found"

    async def test_nothing_is_published_on_a_subject_that_is_no_messages(
        self, drain: Run, stream: str
    ) -> None:
        with pytest.raises(ToolError, match="no message of consumer 'work'"):
            await drain(
                {
                    "source": "nats",
                    "stream": stream,
                    "consumer": "work",
                    "operation": "ack",
                    "ids": [f"{stream}.new"],
                }
            )

    async def test_without_its_library_it_is_not_installed(
        self, drain: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "noetl_stream.tools.subscription.from_nats", None)

        with pytest.raises(ToolError, match=r"noetl-stream\[nats\]") as found:
            await drain({"source": "nats", "stream": "s", "consumer": "c"})

        assert found.value.kind == "not_installed"
