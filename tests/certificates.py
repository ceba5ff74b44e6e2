"""Certificates for one test: an authority, the broker's and a client's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files."""

    authority: Path
    certificate: Path
    key: Path


def certificates(folder: Path, name: str = "127.0.0.1") -> Certificates:
    """A certificate for `name`, by an authority of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert(name)
    made = Certificates(
        authority=folder / "ca.pem", certificate=folder / "certificate.pem", key=folder / "key.pem"
    )
    authority.cert_pem.write_to_path(str(made.authority))
    made.key.write_bytes(_as_pkcs8(issued.private_key_pem.bytes()))
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(str(made.certificate), append=number > 0)
    return made


def _as_pkcs8(pem: bytes) -> bytes:
    """The form that Java reads as well."""
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
