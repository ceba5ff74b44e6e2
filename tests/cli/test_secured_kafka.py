"""The platform against an Apache Kafka that asks for TLS and a login."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from tests.certificates import Certificates, certificates
from tests.children import ServerMissing
from tests.cli.commands import noetl, written
from tests.cli.documents import HELLO
from tests.kafka_cluster import jvm_jars
from tests.kafka_node import NodeConfig, nodes_here, start_node

_LOGIN = "org.apache.kafka.common.security.{} required"
_OUTSIDE = "listener.name.outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuredConfig(NodeConfig):
    """Clients speak SASL_SSL: ann, whose password is `secret`, over TLS with this PEM file of key and certificates."""

    pem: Path

    def essentials(self) -> dict[str, str]:
        plain = f'{_LOGIN.format("plain.PlainLoginModule")} user_ann="secret";'
        return {
            **NodeConfig.essentials(self),
            "listener.security.protocol.map": "OUTSIDE:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            f"{_OUTSIDE}.sasl.enabled.mechanisms": "PLAIN",
            f"{_OUTSIDE}.plain.sasl.jaas.config": plain,
            f"{_OUTSIDE}.ssl.keystore.type": "PEM",
            f"{_OUTSIDE}.ssl.keystore.location": str(self.pem),
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Certificates]]:
    """A node's address and the certificates by which it is known."""
    try:
        _, jars = jvm_jars()
    except ServerMissing as missing:
        pytest.skip(f"no Apache Kafka: {missing}")
    folder = tmp_path_factory.mktemp("secured")
    made = certificates(folder)
    pem = written(folder, "broker.pem", made.key.read_text() + made.certificate.read_text())
    (plain,) = nodes_here(1)
    shape = {field.name: getattr(plain, field.name) for field in fields(plain)}
    node = start_node(SecuredConfig(pem=pem, **shape), jars)
    node.child.wait_until_ready()
    yield node.config.listener, made
    node.child.remove()


@pytest.mark.slow
@pytest.mark.kafka
def test_a_playbook_runs_on_apache_kafka_over_tls_with_a_login(
    secured: tuple[str, Certificates], tmp_path: Path
) -> None:
    bootstrap, made = secured
    login = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "ann",
        "sasl_password_file": written(tmp_path, "password", "secret"),
        "tls_ca": made.authority,
        "data": tmp_path / "own",
        "timeout": 30,
    }

    ran = noetl(
        "run", written(tmp_path, "hello.yaml", HELLO), "--bootstrap", bootstrap, "--json", settings=login
    )

    assert ran.code == 0, ran.err
    assert ran.json()["status"] == "COMPLETED"
