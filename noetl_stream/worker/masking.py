"""What a block knew of secrets, taken out of what it reports: no event, log or answer shows one that was resolved.

Matched are the secret's text as it is, in Base64, URL-encoded and JSON-escaped, and the Base64 of `user:password`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from noetl_stream.core.values import Value
from noetl_stream.ports.credentials import Secret

SHORTEST: Final = 6
"""Characters: anything shorter stands in harmless text too."""
PUBLIC: Final = frozenset(
    {
        "host", "hostname", "port", "user", "username", "login", "database", "dbname", "db", "schema", "region", "account",
        "warehouse", "role", "endpoint", "endpoint_url", "url", "uri", "type", "kind", "scope", "scopes", "sslmode", "driver",
        "bucket", "project", "project_id", "tenant", "token_type", "expires_in", "expires_at",
    }
)  # fmt: skip
"""Fields of a credential that are no secret."""


class Mask:
    """Replaces every secret by `[keychain.<alias>]`. Grows with the secrets that a block resolves."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def cover(self, secret: Secret) -> None:
        """Hide this secret from now on."""
        for text in _spellings(secret.reveal()):
            self._names.setdefault(text, secret.alias)
        ordered = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"[keychain.{self._names[found[0]]}]", text)

    def value(self, value: Any) -> Any:
        """The value without secrets in any text of it; the very same one if there is nothing to hide."""
        return value if self._pattern is None else self._masked(value)

    def hides(self, value: Value) -> bool:
        """Whether there is a secret in the value."""
        return bool(self.value(value) != value)

    def _masked(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self._masked(key): self._masked(each) for key, each in value.items()}
            case list():
                return [self._masked(each) for each in value]
            case tuple():
                return tuple(self._masked(each) for each in value)
            case _:
                return value


def _spellings(value: str | Mapping[str, Value]) -> Iterator[str]:
    for text in _texts(value):
        if len(text) >= SHORTEST:
            yield from dict.fromkeys(_forms(text))


def _texts(value: Any, key: str = "") -> Iterator[str]:
    """The secret texts of a credential, at any depth."""
    match value:
        case str() if key.lower() not in PUBLIC:
            yield value
        case Mapping():
            for name, each in value.items():
                yield from _texts(each, str(name))
            yield from _logins(value)
        case list() | tuple():
            for each in value:
                yield from _texts(each, key)


def _logins(fields: Mapping[str, Value]) -> Iterator[str]:
    user, password = fields.get("username", fields.get("user")), fields.get("password")
    if isinstance(user, str) and isinstance(password, str):
        yield b64encode(f"{user}:{password}".encode()).decode()


def _forms(text: str) -> Iterable[str]:
    raw = text.encode()
    encoded = [each.decode() for each in (b64encode(raw), urlsafe_b64encode(raw))]
    escaped = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    unpadded = (each.rstrip("=") for each in encoded)
    return (text, *encoded, *unpadded, quote(text, safe=""), quote_plus(text), *escaped)
