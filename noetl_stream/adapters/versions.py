"""Which version a registration makes: the n-th of its path that differs from the one before, in log order."""

from __future__ import annotations

from dataclasses import dataclass

from noetl_stream.wire.records import PlaybookRegistered


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One version of a playbook. `offset` is that of the registration which made it; `digest` is SHA-256 in hex."""

    path: str
    version: int
    digest: str
    offset: int
    text: str


class Versions:
    """Registrations folded in log order. Nothing allocates a version, so no two readers can disagree on one."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Entry]] = {}
        self._digests: dict[str, Entry] = {}

    def fold(self, registered: PlaybookRegistered, offset: int) -> None:
        """Take in the registration at `offset`. The same text again makes no version."""
        newest = self.lookup(registered.path)
        if newest is not None and newest.digest == registered.digest:
            return
        entry = Entry(
            path=registered.path,
            version=newest.version + 1 if newest else 1,
            digest=registered.digest,
            offset=offset,
            text=registered.text,
        )
        self._versions.setdefault(entry.path, []).append(entry)
        self._digests.setdefault(entry.digest, entry)

    def lookup(self, path: str, version: int | None = None) -> Entry | None:
        """A version of a path, the newest unless told."""
        versions = self._versions.get(path, [])
        index = len(versions) if version is None else version
        return versions[index - 1] if 1 <= index <= len(versions) else None

    def standing_at(self, path: str, offset: int) -> Entry:
        """The newest version of a path as of the registration at `offset`, which must have been folded."""
        return next(entry for entry in reversed(self._versions[path]) if entry.offset <= offset)

    def by_digest(self, digest: str) -> Entry | None:
        """The first version, of whatever path, with this text."""
        return self._digests.get(digest)

    def paths(self) -> tuple[str, ...]:
        """Every registered path, in order of first registration."""
        return tuple(self._versions)
