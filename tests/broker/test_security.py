"""TLS and logins: who is let in, who is not, and what either can see."""

from __future__ import annotations

import logging
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kio.schema.errors import ErrorCode
from scramp import ScramClient

from noetl_stream.adapters.security import Login, Mechanism, Security, client_context
from noetl_stream.broker.api import Api
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.tls import Tls
from noetl_stream.broker.users import Users
from noetl_stream.errors import InfrastructureError
from tests.broker.client import RawClient
from tests.broker.requests import REQUESTS
from tests.certificates import Certificates, certificates

MECHANISMS: tuple[Mechanism, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def broker_with_ann(folder: Path, **settings: Any) -> AsyncIterator[EmbeddedBroker]:
    """A broker that asks for a login, and one user: ann, whose password is `secret`."""
    Users(folder).set("ann", "secret")
    async with EmbeddedBroker(folder, settings=BrokerSettings(fsync="none", sasl=True, **settings)) as broker:
        yield broker


async def round_trip(bootstrap: str, security: Security) -> bytes:
    """A record sent and read again by clients with this security."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, **security.options()) as producer:
        await producer.send_and_wait("t", b"kept", partition=0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", **security.options()
    )
    async with consumer:
        consumer.assign([TopicPartition("t", 0)])
        value: bytes = (await consumer.getone()).value
        return value


def as_ann(mechanism: Mechanism, password: str = "secret", *, tls: ssl.SSLContext | None = None) -> Security:
    return Security(tls=tls, login=Login(mechanism=mechanism, username="ann", password=password))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_over_tls_every_mechanism_lets_its_user_in(
    tmp_path: Path, certified: Certificates, mechanism: Mechanism
) -> None:
    tls = Tls(certificate=certified.certificate, key=certified.key)
    context = client_context(certified.authority, None, None)
    async with broker_with_ann(tmp_path, tls=tls) as broker:
        assert await round_trip(broker.bootstrap, as_ann(mechanism, tls=context)) == b"kept"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_without_tls_scram_lets_its_user_in(tmp_path: Path, mechanism: Mechanism) -> None:
    async with broker_with_ann(tmp_path) as broker:
        assert await round_trip(broker.bootstrap, as_ann(mechanism)) == b"kept"


async def test_without_tls_no_password_is_taken_in_the_clear(tmp_path: Path) -> None:
    async with broker_with_ann(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        answer = await client.call(Api.SASL_HANDSHAKE, 1, {"mechanism": "PLAIN"})

        assert answer.error_code is ErrorCode.unsupported_sasl_mechanism
        assert answer.mechanisms == ("SCRAM-SHA-256", "SCRAM-SHA-512")
        assert await client.is_closed_by_the_broker()


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", "secret")])
@pytest.mark.parametrize("version", [0, 1, 2])
async def test_a_wrong_password_and_an_unknown_user_look_the_same(
    tmp_path: Path, name: str, password: str, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker_with_ann(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await client.call(Api.SASL_HANDSHAKE, 1, {"mechanism": "SCRAM-SHA-256"})
        scram = ScramClient(["SCRAM-SHA-256"], name, password)
        first = await client.call(
            Api.SASL_AUTHENTICATE, version, {"auth_bytes": scram.get_client_first().encode()}
        )
        scram.set_server_first(first.auth_bytes.decode())
        final = await client.call(
            Api.SASL_AUTHENTICATE, version, {"auth_bytes": scram.get_client_final().encode()}
        )

        assert first.error_code is ErrorCode.none
        assert final.error_code is ErrorCode.sasl_authentication_failed
        assert final.error_message == "Authentication failed: the user or the password is wrong"
        assert await client.is_closed_by_the_broker()
    assert f"a login failed: user '{name}' by SCRAM-SHA-256" in caplog.text
    assert password not in caplog.text


async def test_the_oldest_handshake_is_followed_by_bare_messages(tmp_path: Path) -> None:
    """SaslHandshake version 0: no SaslAuthenticate, only lengths and tokens."""
    scram = ScramClient(["SCRAM-SHA-512"], "ann", "secret")
    async with broker_with_ann(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        await client.call(Api.SASL_HANDSHAKE, 0, {"mechanism": "SCRAM-SHA-512"})
        scram.set_server_first((await _exchanged(client, scram.get_client_first())).decode())
        scram.set_server_final((await _exchanged(client, scram.get_client_final())).decode())

        assert (await client.call(Api.METADATA, 8, REQUESTS[Api.METADATA])).topics


async def _exchanged(client: RawClient, message: str) -> bytes:
    client.writer.write(struct.pack(">i", len(message)) + message.encode())
    return await client.receive()


@pytest.mark.parametrize("api", [Api.METADATA, Api.PRODUCE, Api.SASL_AUTHENTICATE])
async def test_nothing_is_answered_before_a_login(
    tmp_path: Path, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker_with_ann(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        versions = await client.call(Api.API_VERSIONS, 3, REQUESTS[Api.API_VERSIONS])
        assert {Api.SASL_HANDSHAKE, Api.SASL_AUTHENTICATE} <= {key.api_key for key in versions.api_keys}
        with pytest.raises(EOFError):
            await client.call(api, 1 if api is Api.SASL_AUTHENTICATE else 8, REQUESTS[api])
    assert f"{api.name} came before a login" in caplog.text


async def test_a_large_request_is_refused_before_a_login(tmp_path: Path) -> None:
    """Strangers get no memory."""
    async with broker_with_ann(tmp_path) as broker, RawClient(broker.bootstrap) as client:
        client.writer.write(struct.pack(">i", 1_000_000))
        assert await client.is_closed_by_the_broker()


async def test_a_user_with_signs_that_scram_quotes_can_log_in(tmp_path: Path) -> None:
    Users(tmp_path).set("a=b,c", "pass,word=")
    login = Login(mechanism="SCRAM-SHA-256", username="a=b,c", password="pass,word=")
    async with broker_with_ann(tmp_path) as broker:
        assert await round_trip(broker.bootstrap, Security(login=login)) == b"kept"


async def test_a_changed_password_counts_from_the_next_login(tmp_path: Path) -> None:
    async with broker_with_ann(tmp_path) as broker:
        await round_trip(broker.bootstrap, as_ann("SCRAM-SHA-512"))
        Users(tmp_path).set("ann", "other")

        await round_trip(broker.bootstrap, as_ann("SCRAM-SHA-512", "other"))


@pytest.mark.slow
async def test_a_client_without_a_certificate_is_turned_away_where_one_is_asked_for(
    tmp_path: Path, certified: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    tls = Tls(certificate=certified.certificate, key=certified.key, client_ca=certified.authority)
    known = client_context(certified.authority, certified.certificate, certified.key)
    unknown = client_context(certified.authority, None, None)
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(fsync="none", tls=tls)) as broker:
        assert await round_trip(broker.bootstrap, Security(tls=known)) == b"kept"
        with pytest.raises((ConnectionError, ssl.SSLError, EOFError)):
            async with RawClient(broker.bootstrap, tls=unknown) as client:
                await client.call(Api.METADATA, 8, REQUESTS[Api.METADATA])
    assert "no TLS came about" in caplog.text


async def test_plain_text_at_a_tls_port_ends_that_connection_alone(
    tmp_path: Path, certified: Certificates
) -> None:
    tls = Tls(certificate=certified.certificate, key=certified.key)
    context = client_context(certified.authority, None, None)
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(fsync="none", tls=tls)) as broker:
        async with RawClient(broker.bootstrap) as lost:
            lost.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            while await lost.reader.read(100):
                """TLS says goodbye with an alert."""
        assert await round_trip(broker.bootstrap, Security(tls=context)) == b"kept"


async def test_files_that_do_not_make_tls_are_named(tmp_path: Path) -> None:
    tls = Tls(certificate=tmp_path / "none.pem", key=tmp_path / "key.pem")
    with pytest.raises(InfrastructureError, match=r"none\.pem with the key .*key\.pem cannot be used"):
        async with EmbeddedBroker(tmp_path, settings=BrokerSettings(tls=tls)):
            pass


@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
async def test_an_open_door_is_said_once(
    tmp_path: Path, host: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(host=host)):
        pass
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == warnings
    assert all("is no loopback address" in record.getMessage() for record in told)


async def test_a_broker_without_users_says_how_to_get_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedBroker(tmp_path, settings=BrokerSettings(sasl=True)):
        pass
    assert "noetl-stream broker user set" in caplog.text


def test_a_password_shows_in_no_text_of_a_login() -> None:
    assert "secret" not in repr(as_ann("PLAIN"))
