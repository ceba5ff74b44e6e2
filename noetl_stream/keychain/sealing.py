"""Envelope encryption of one credential: its own random data key, wrapped by a key that the record does not hold.

The names by which it is found are bound to it: a record's bytes moved to another tenant, alias or version do not open.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from noetl_stream.errors import InfrastructureError
from noetl_stream.keychain.keys import Keys
from noetl_stream.wire.records import Sealed

KEY_BYTES = 32
NONCE_BYTES = 12
"""What AES-GCM takes best. A data key encrypts one text in its life, so chance may draw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a credential is found by. `owner` is the playbook or the folder that it is for, where its scope has one."""

    tenant: str
    alias: str
    scope: str = "catalog"
    owner: str = ""

    @property
    def key(self) -> bytes:
        """Its key in the topic."""
        return orjson.dumps([self.tenant, self.alias, self.scope, self.owner])

    def bound(self, version: int) -> bytes:
        """What one version of it is bound to."""
        return orjson.dumps([self.tenant, self.alias, self.scope, self.owner, version])


async def seal(
    value: str | Mapping[str, Any], *, name: Name, version: int, time: float, actor: str | None, keys: Keys
) -> Sealed:
    """A new version, encrypted. Raises InfrastructureError if the key service does not wrap its key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, nonce, bound = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES), name.bound(version)
    return Sealed(
        version=version,
        fields=tuple(value) if isinstance(value, Mapping) else (),
        time=time,
        actor=actor,
        key=keys.current.id,
        wrapped=await keys.current.wrap(key, bound),
        nonce=nonce,
        ciphertext=AESGCM(key).encrypt(nonce, orjson.dumps(value), bound),
    )


async def unseal(sealed: Sealed, *, name: Name, keys: Keys) -> str | Mapping[str, Any]:
    """What was sealed. Raises InfrastructureError if its key is not at hand, or the record is not what was written."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    bound = name.bound(sealed.version)
    key = await keys.of(sealed.key).unwrap(sealed.wrapped, bound)
    try:
        opened = AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, bound)
    except (InvalidTag, ValueError):
        raise InfrastructureError(
            f"version {sealed.version} of credential '{name.alias}' was changed after it was written; "
            f"set it again with `noetl-stream keychain set {name.alias}`"
        ) from None
    value: str | Mapping[str, Any] = orjson.loads(opened)
    return value


async def rewrap(sealed: Sealed, *, name: Name, keys: Keys) -> Sealed:
    """The same version under the current key: its data key wrapped anew, its ciphertext as it was."""
    if sealed.key == keys.current.id:
        return sealed
    bound = name.bound(sealed.version)
    key = await keys.of(sealed.key).unwrap(sealed.wrapped, bound)
    return replace(sealed, key=keys.current.id, wrapped=await keys.current.wrap(key, bound))
