"""What the keychain's topic says, folded: the newest record of each name stands. Nothing is opened here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from noetl_stream.errors import InfrastructureError, UndecodableRecord, UnknownSchema
from noetl_stream.keychain.sealing import Name
from noetl_stream.ports.log import Record
from noetl_stream.wire.codec import decode
from noetl_stream.wire.records import CredentialChanged, CredentialStored

_PARTS = 4
"""What a name's key consists of; a change's has one part more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What stands at an offset: None once it was deleted, a sentence where it cannot be read."""

    offset: int
    stored: CredentialStored | str | None

    def check(self) -> CredentialStored:
        """What stands. Raises InfrastructureError if it cannot be read."""
        if isinstance(self.stored, CredentialStored):
            return self.stored
        raise InfrastructureError(self.stored or "it was deleted")


@dataclass(slots=True)
class Standing:
    """The fold. With `history` it also keeps who changed what, and all that stood before: for the command line alone."""

    history: bool = False
    names: dict[Name, Placed] = field(default_factory=dict)
    changes: list[CredentialChanged] = field(default_factory=list)
    _trail: dict[Name, list[Placed]] = field(default_factory=dict)

    def fold(self, record: Record) -> None:
        """Take in the next record of the topic."""
        parts = _parts(record.key)
        if len(parts) == _PARTS:
            self._place(Name(**dict(zip(Name.__slots__, parts, strict=True))), record)
        elif self.history and record.value is not None:
            found = _decoded(record)
            if isinstance(found, CredentialChanged):
                self.changes.append(found)

    def _place(self, name: Name, record: Record) -> None:
        found = None if record.value is None else _decoded(record)
        if isinstance(found, CredentialChanged):
            found = f"a change stands where credential '{name.alias}' belongs; set it again"
        placed = Placed(offset=record.offset, stored=found)
        if found is None:
            self.names.pop(name, None)
        else:
            self.names[name] = placed
        if self.history:
            self._trail.setdefault(name, []).append(placed)

    def clear(self) -> None:
        """Begin anew."""
        for part in (self.names, self.changes, self._trail):
            part.clear()

    def before(self, name: Name, offset: int | None = None) -> Placed | None:
        """What was last said of a name, or last before an offset. Needs the history."""
        trail = reversed(self._trail.get(name, []))
        return next((each for each in trail if offset is None or each.offset < offset), None)

    def newest(self, name: Name) -> int:
        """The highest version that was ever written of a name, in vain or not. Needs the history.

        What is acknowledged above all of these is above whatever was acknowledged before it.
        """
        trail = (each.stored for each in self._trail.get(name, []))
        written = [each.versions[0].version for each in trail if isinstance(each, CredentialStored)]
        # Of one that was deleted, compaction leaves the changes alone.
        written = written or [each.version or 0 for each in self.changes if name_of(each) == name]
        return max(written, default=0)

    def of(self, tenant: str) -> Mapping[Name, Placed]:
        """All that a tenant has."""
        return {name: placed for name, placed in self.names.items() if name.tenant == tenant}


def name_of(record: CredentialStored | CredentialChanged) -> Name:
    """What a record is about."""
    return Name(tenant=record.tenant, alias=record.alias, scope=record.scope, owner=record.owner)


def _parts(key: bytes | None) -> list[Any]:
    try:
        parts = orjson.loads(key or b"[]")
    except ValueError:
        return []
    return parts if isinstance(parts, list) and all(isinstance(each, str) for each in parts) else []


def _decoded(record: Record) -> CredentialStored | CredentialChanged | str:
    """The record; or why it cannot be read, which concerns nobody but whoever asks for it."""
    try:
        found = decode(record.value or b"")
    except (UndecodableRecord, UnknownSchema) as error:
        return f"{record.topic}[0] offset {record.offset}: {error}"
    if isinstance(found, CredentialStored | CredentialChanged):
        return found
    return (
        f"{record.topic}[0] offset {record.offset} holds a {type(found).__name__}; set the credential again"
    )
