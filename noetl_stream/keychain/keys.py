"""The key-encryption keys of a process: one that wraps, and those that can still be unwrapped with, by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noetl_stream.errors import InfrastructureError
from noetl_stream.ports.keychain import KeyEncryption


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """`current` wraps. `others` are read with, while a rotation goes on."""

    current: KeyEncryption
    others: Sequence[KeyEncryption] = ()

    def of(self, id: str) -> KeyEncryption:
        """The key of this id. Raises InfrastructureError if it is not here."""
        found = next((key for key in (self.current, *self.others) if key.id == id), None)
        if found is None:
            raise InfrastructureError(
                f"a credential stands under the key {id}, which is not here; name its file in "
                "NOETL_STREAM_KEYCHAIN_OLD_KEY_FILES, or bring all under one key with `noetl-stream keychain rotate-key`"
            )
        return found
