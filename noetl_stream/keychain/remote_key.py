"""A key-encryption key in a service that never gives it away: Vault's transit engine, or AWS KMS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from noetl_stream.errors import InfrastructureError, InvalidRequest, ToolError
from noetl_stream.keychain.asking import Direct
from noetl_stream.keychain.providers.aws import Kms
from noetl_stream.keychain.providers.config import Providers
from noetl_stream.keychain.providers.vault import Transit
from noetl_stream.ports.keychain import KeyEncryption

FORMS: Final = "vault:NAME or aws:KEY"


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A `ports.keychain.KeyEncryption` over one that asks a service: what it answers becomes the platform's error."""

    key: KeyEncryption

    @property
    def id(self) -> str:
        return self.key.id

    async def wrap(self, key: bytes, bound: bytes) -> bytes:
        with self._told("wrap"):
            return await self.key.wrap(key, bound)

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        with self._told("unwrap"):
            return await self.key.unwrap(wrapped, bound)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ToolError, ValueError) as error:
            why = error.message if isinstance(error, ToolError) else "its answer is no Base64"
            raise InfrastructureError(f"the key {self.id} did not {what}: {why}") from None


def remote_key(name: str, providers: Providers, timeout: float) -> RemoteKey:
    """The key that is called so. Raises InvalidRequest if there is no such service, or it is not set up."""
    service, colon, key = name.partition(":")
    if not colon or not key or service not in ("vault", "aws"):
        raise InvalidRequest(f"'{name}' is no key of a service; write {FORMS}")
    direct = Direct(timeout=timeout)
    if service == "vault" and (vault := providers.vault) is not None:
        keeper = vault.service(direct, timeout)
        return RemoteKey(Transit(vault=keeper, own=vault.own, name=key, mount=vault.transit))
    if service == "aws" and (aws := providers.aws) is not None:
        return RemoteKey(Kms(aws=aws.service(direct, timeout), own=aws.own, name=key))
    raise InvalidRequest(
        f"the key {name} needs a section `{service}` in the file of NOETL_STREAM_KEYCHAIN_PROVIDERS; add it"
    )
