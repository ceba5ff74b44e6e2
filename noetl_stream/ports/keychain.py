"""The key that wraps other keys, wherever it is kept: in a file, or in a service that never gives it away."""

from __future__ import annotations

from typing import Protocol


class KeyEncryption(Protocol):
    """One key-encryption key. `id` names it for ever, and says nothing about it."""

    @property
    def id(self) -> str: ...

    async def wrap(self, key: bytes, bound: bytes) -> bytes:
        """The key, encrypted. Only whoever gives the same `bound` (authenticated, not secret) gets it back.

        Raises InfrastructureError if the service that keeps the key does not answer, or refuses.
        """
        ...

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """The key that was wrapped. Raises InfrastructureError likewise, and for bytes that this key did not wrap."""
        ...
