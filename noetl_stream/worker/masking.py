"""What a block knew of secrets, taken out of what it reports: no event, log or answer shows one that was resolved.

Matched are the secret's text and each longer line of it, as they are, in Base64 wherever in a longer text they stand,
URL-encoded, JSON-escaped and as Python writes them; and the password in an address or a connection string.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

from noetl_stream.core.values import Value
from noetl_stream.ports.credentials import Secret
from noetl_stream.worker.cells import masked_table
from noetl_stream.worker.keep import as_table

SHORTEST: Final = 6
"""Characters: anything shorter stands in harmless text too."""
LINE: Final = 16
"""Characters: a line of a key that is at least so long is a secret by itself."""
PROBE: Final = 16
"""Characters of a secret that are looked for first where there is much to look through."""
_ADDRESS: Final = re.compile(r"://[^\s:/@]*:([^\s@]+)@")
_CONNECTION: Final = re.compile(r"\b(?:password|pwd)\s*=\s*('[^']*'|[^\s;]+)", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
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

    @property
    def covers(self) -> bool:
        """Whether there is anything to hide."""
        return self._pattern is not None

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

    @property
    def probe(self) -> str | None:
        """What matches how every secret begins, for Python's `re` and RE2 alike; None if there is nothing to hide.

        RE2 looks for whole keys of many lines a hundred times slower.
        """
        return "|".join(sorted({re.escape(each[:PROBE]) for each in self._names})) or None

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
            case bytes():
                return self.text(value.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            case _:
                return self._without_cells(value)

    def _without_cells(self, value: Any) -> Any:
        """A table without secrets in its cells and its columns' names; anything else as it is."""
        table = as_table(value)
        return value if table is None else masked_table(table, self)


def _spellings(value: str | Mapping[str, Value]) -> Iterator[str]:
    for text in _texts(value):
        if len(text) >= SHORTEST:
            yield from dict.fromkeys(each for each in _forms(text) if len(each) >= SHORTEST)


def _texts(value: Any, key: str = "") -> Iterator[str]:
    """The secret texts of a credential, at any depth."""
    match value:
        case str():
            yield from _within(value)
            if key.lower() not in PUBLIC:
                yield value
                yield from (line.strip() for line in value.splitlines() if _is_secret(line))
        case Mapping():
            for name, each in value.items():
                yield from _texts(each, str(name))
            yield from _logins(value)
        case list() | tuple():
            for each in value:
                yield from _texts(each, key)


def _is_secret(line: str) -> bool:
    """Whether a line says something by itself: how a key begins and ends is the same in all of them."""
    return len(line) >= LINE and not line.startswith("-----")


def _logins(fields: Mapping[str, Value]) -> Iterator[str]:
    """The Base64 of `user:password`, as HTTP sends it."""
    user, password = fields.get("username", fields.get("user")), fields.get("password")
    if isinstance(user, str) and isinstance(password, str):
        yield b64encode(f"{user}:{password}".encode()).decode()


def _within(text: str) -> Iterator[str]:
    """The password in `scheme://user:password@host` or in `host=… password=…`, as it stands there and decoded."""
    for found in (*_ADDRESS.findall(text), *_CONNECTION.findall(text)):
        password = found.strip("'\"")
        yield from (password, unquote(password))


def _forms(text: str) -> Iterable[str]:
    raw = text.encode()
    escaped = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
    quoted = [quote(text, safe=""), quote(text), quote_plus(text)]
    quoted += [_ESCAPE.sub(lambda found: found[0].lower(), each) for each in quoted]
    return (text, *_base64(raw), *quoted, *escaped)


def _base64(raw: bytes) -> Iterator[str]:
    """As it stands in Base64 of its own, then what of it is the same in that of any longer text, by where it begins."""
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(raw).decode()
        yield encode(raw).decode().rstrip("=")
        for before in range(3):
            inner = encode(bytes(before) + raw).decode().rstrip("=")
            first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            if last - first >= SHORTEST:
                yield inner[first:last]
