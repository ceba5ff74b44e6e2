"""What clients are made with: read from files, refused in one sentence, and silent about passwords."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from noetl_stream.adapters.security import OPEN, Security, client_context, read_login
from noetl_stream.errors import InvalidRequest
from noetl_stream.settings import Settings
from tests.certificates import certificates


def settings(**chosen: object) -> Settings:
    return Settings.model_validate(chosen)


def test_without_a_word_about_it_there_is_neither_tls_nor_a_login() -> None:
    assert settings().security == OPEN
    assert settings().security.options() == {"security_protocol": "PLAINTEXT", "ssl_context": None}


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes("pässword \r\nanother line".encode())

    login = read_login("PLAIN", "ann", file)

    assert login.password == "pässword "
    assert "pässword" not in f"{login} {login!r} {Security(login=login)}"


@pytest.mark.parametrize(
    ("protocol", "tls", "login"),
    [("SSL", True, False), ("SASL_PLAINTEXT", False, True), ("SASL_SSL", True, True)],
)
def test_a_protocol_says_what_is_used(tmp_path: Path, protocol: str, tls: bool, login: bool) -> None:
    made = certificates(tmp_path)
    (tmp_path / "password").write_text("secret")
    security = settings(
        security_protocol=protocol,
        sasl_username="ann",
        sasl_password_file=tmp_path / "password",
        tls_ca=made.authority,
    ).security

    assert (security.tls is not None, security.login is not None) == (tls, login)
    assert security.options()["security_protocol"] == protocol
    assert security.options().get("sasl_plain_password") == ("secret" if login else None)


def test_a_brokers_name_is_checked(tmp_path: Path) -> None:
    context = client_context(certificates(tmp_path).authority, None, None)

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidRequest, match="NOETL_STREAM_SASL_USERNAME and NOETL_STREAM_SASL_PASSWORD_FILE"
    ):
        _ = settings(security_protocol="SASL_SSL").security
    with pytest.raises(InvalidRequest, match=r"the password file .*none cannot be read"):
        read_login("PLAIN", "ann", tmp_path / "none")
    with pytest.raises(InvalidRequest, match=r"TLS cannot be made from .*none\.pem"):
        client_context(tmp_path / "none.pem", None, None)


def test_the_embedded_broker_of_ones_own_is_reached_in_plain_text() -> None:
    secured = settings(security_protocol="SASL_SSL")

    assert secured.at("127.0.0.1:1").security == OPEN
    assert settings(security_protocol="SSL", bootstrap="kafka:1").at("kafka:2").security_protocol == "SSL"
