"""Who the broker is over TLS, and whose certificates it takes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from noetl_stream.errors import InfrastructureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files. With `client_ca` every client must show a certificate which that authority signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer, by the standard library's choice of ciphers.

    Raises:
        InfrastructureError: a file is missing or unusable.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise InfrastructureError(
            f"the TLS certificate {tls.certificate} with the key {tls.key} cannot be used ({error}); "
            "name PEM files that belong together"
        ) from error
    if tls.client_ca is not None:
        _require_certificates(context, tls.client_ca)
    return context


def _require_certificates(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise InfrastructureError(
            f"the clients' authority {authority} cannot be used ({error}); name a PEM file of certificates"
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED
