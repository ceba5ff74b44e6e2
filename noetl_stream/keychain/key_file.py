"""A key-encryption key in a file that only its owner reads. It is never made by itself: `keychain new-key` makes one."""

from __future__ import annotations

import os
import secrets
import stat
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Self

from noetl_stream.errors import InfrastructureError, InvalidRequest

_BYTES = 32
_NONCE = 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A key of 256 bits. Its id is drawn from it one way, so that the same key has the same id on every machine."""

    id: str
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes) -> Self:
        return cls(id=f"file:{blake2b(key, digest_size=6, person=b'noetl-kek').hexdigest()}", key=key)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises InvalidRequest for a file that is not there, is no key, or that others may read."""
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read(4 * _BYTES)
        except OSError as error:
            raise InvalidRequest(
                f"the key file {path} cannot be read ({error.strerror}); name one that can, "
                f"or make one with `noetl-stream keychain new-key {path}`"
            ) from error
        if mode & _OTHERS:
            raise InvalidRequest(
                f"the key file {path} can be read by others (mode {mode:04o}); take that away: chmod 600 {path}"
            )
        return cls.of(_decoded(text, path))

    async def wrap(self, key: bytes, bound: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, key, bound)

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bound)
        except (InvalidTag, ValueError):
            raise InfrastructureError(
                f"a data key that the record says is wrapped by {self.id} was not; was the record changed? "
                "set the credential again with `noetl-stream keychain set`"
            ) from None


def new_key_file(path: Path) -> KeyFile:
    """Make a key. Raises InvalidRequest if there is a file already: a key is never overwritten, nor can it be made again."""
    key = secrets.token_bytes(_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidRequest(
            f"{path} is there already, and a key is never overwritten; name another file"
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written ({error.strerror}); name a file in a folder that can"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return KeyFile.of(key)


def _decoded(text: bytes, path: Path) -> bytes:
    try:
        key = b64decode(text.strip(), validate=True)
    except NotBase64:
        key = b""
    if len(key) != _BYTES:
        raise InvalidRequest(
            f"{path} is no key file: it holds no 32 bytes in Base64; make one with `noetl-stream keychain new-key FILE`"
        )
    return key
