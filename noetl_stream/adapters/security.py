"""How our clients prove who they are to the brokers, and the brokers to them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from noetl_stream.errors import InvalidRequest

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user as SASL knows it. The password shows in no text of this value."""

    mechanism: Mechanism
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What every client is made with: TLS, a login, both or neither."""

    tls: ssl.SSLContext | None = None
    login: Login | None = None

    @property
    def protocol(self) -> Protocol:
        if self.login is None:
            return "PLAINTEXT" if self.tls is None else "SSL"
        return "SASL_PLAINTEXT" if self.tls is None else "SASL_SSL"

    def options(self) -> Mapping[str, Any]:
        """aiokafka's keyword arguments. They hold the password: never log them."""
        login: Mapping[str, Any] = {}
        if self.login is not None:
            login = {
                "sasl_mechanism": self.login.mechanism,
                "sasl_plain_username": self.login.username,
                "sasl_plain_password": self.login.password,
            }
        return {"security_protocol": self.protocol, "ssl_context": self.tls, **login}


OPEN = Security()
"""No TLS and no login: the embedded broker of our own, or a network that is trusted."""


def read_login(mechanism: Mechanism, username: str, password_file: Path | None) -> Login:
    """A login whose password is the first line of a file.

    Raises:
        InvalidRequest: a part is missing, or the file cannot be read.
    """
    if not username or password_file is None:
        raise InvalidRequest(
            "a login needs NOETL_STREAM_SASL_USERNAME and NOETL_STREAM_SASL_PASSWORD_FILE; set both, "
            "or a NOETL_STREAM_SECURITY_PROTOCOL without SASL"
        )
    try:
        password = password_file.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the password file {password_file} cannot be read ({error}); name one line of UTF-8 text"
        ) from error
    return Login(mechanism=mechanism, username=username, password=password)


def client_context(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS that checks the broker's name and certificate, by the system's authorities unless one is named.

    Raises:
        InvalidRequest: a file is missing or unusable.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(path) for path in (authority, certificate, key) if path is not None)
        raise InvalidRequest(f"TLS cannot be made from {named} ({error}); name PEM files") from error
    return context
