"""Who may use the broker: names with salted verifiers, never passwords, in one file that only its owner reads."""

from __future__ import annotations

import base64
import fcntl
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from noetl_stream.commitlog.append_file import write_whole
from noetl_stream.errors import InfrastructureError, InvalidRequest

SCRAM_SHA_256, SCRAM_SHA_512 = "SCRAM-SHA-256", "SCRAM-SHA-512"
MECHANISMS = (SCRAM_SHA_256, SCRAM_SHA_512)

_ITERATIONS = 16_384
"""The most that Kafka's own tools set."""

_LONGEST_NAME = 255
_NOBODYS_SALTS = secrets.token_bytes(32)


class Verifier(NamedTuple):
    """What RFC 5802 keeps of a password."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int

    @classmethod
    def of(
        cls, mechanism: str, password: str, *, salt: bytes | None = None, iterations: int = _ITERATIONS
    ) -> Self:
        """Raises InvalidRequest for a password that SASLprep forbids."""
        from scramp import ScramException, ScramMechanism

        try:
            return cls(*ScramMechanism(mechanism).make_auth_info(password, iterations, salt))
        except ScramException as error:
            raise InvalidRequest(f"this password cannot be used ({error}); choose another") from error


def verifier_of_nobody(name: str) -> Verifier:
    """For a name without a user: the same salt whenever it is asked for, and keys that no password has."""
    salt = hmac.digest(_NOBODYS_SALTS, name.encode(), "sha256")
    return Verifier(salt, secrets.token_bytes(32), secrets.token_bytes(32), _ITERATIONS)


class Users:
    """The users of one data directory. A running broker sees a change at the next login."""

    def __init__(self, data: Path) -> None:
        self._file = data / "users.json"

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._read()))

    def find(self, name: str, mechanism: str) -> Verifier | None:
        """The user's verifier for SCRAM-SHA-256 or SCRAM-SHA-512."""
        kept = self._read().get(name)
        return None if kept is None else _verifier(kept[mechanism])

    def set(self, name: str, password: str) -> None:
        """Add a user, or give one another password.

        Raises:
            InvalidRequest: the name or the password cannot be used.
        """
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                f"a user's name has 1 to {_LONGEST_NAME} printable characters; choose another"
            )
        if not password:
            raise InvalidRequest("an empty password protects nothing; give one on standard input")
        verifiers = {mechanism: _text(Verifier.of(mechanism, password)) for mechanism in MECHANISMS}
        with self._changing() as users:
            users[name] = verifiers

    def delete(self, name: str) -> None:
        """Raises InvalidRequest if there is no such user. Its open connections stay."""
        with self._changing() as users:
            if users.pop(name, None) is None:
                raise InvalidRequest(f"there is no user '{name}'; `noetl-stream broker user list` shows all")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Mapping[str, Mapping[str, str | int]]]]:
        """The users, written whole at the end or not at all; two who change them wait for each other."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = self._read()
            yield users
            write_whole(self._file, json.dumps(users, indent=1).encode(), mode=0o600)

    def _read(self) -> dict[str, Mapping[str, Mapping[str, str | int]]]:
        try:
            users: dict[str, Mapping[str, Mapping[str, str | int]]] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"the users in {self._file} cannot be read ({error}); restore the file, or delete it and set them anew"
            ) from error
        return users


def _text(verifier: Verifier) -> dict[str, str | int]:
    salt, stored_key, server_key = (base64.b64encode(part).decode() for part in verifier[:3])
    return {
        "salt": salt,
        "stored_key": stored_key,
        "server_key": server_key,
        "iterations": verifier.iterations,
    }


def _verifier(kept: Mapping[str, str | int]) -> Verifier:
    salt, stored_key, server_key = (
        base64.b64decode(str(kept[part])) for part in ("salt", "stored_key", "server_key")
    )
    return Verifier(salt, stored_key, server_key, int(kept["iterations"]))
