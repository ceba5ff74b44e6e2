"""Records to bytes and back with the schemas of this release. To read other writers' too, use a `Registry`."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast, get_args

from noetl_stream.core.events import Event
from noetl_stream.core.messages import Offer
from noetl_stream.errors import UndecodableRecord
from noetl_stream.ports.log import Record as Stored
from noetl_stream.wire.records import Record
from noetl_stream.wire.registry import Registry

R = TypeVar("R", bound=Record)

_EVENTS = frozenset(get_args(Event))


def encode(record: Record) -> bytes:
    """A record as it stands in a topic. Raises TypeError or ValueError for what its schema cannot hold."""
    return registry().encode(record)


def decode(encoded: bytes) -> Record:
    """The record in these bytes. Raises UnknownSchema or UndecodableRecord."""
    return registry().decode(encoded)


def encode_offer(offer: Offer) -> bytes:
    """An offer as it stands in a block topic."""
    return encode(offer)


def decode_offer(encoded: bytes) -> Offer:
    """The offer in these bytes. Raises UnknownSchema or UndecodableRecord."""
    return expect(Offer, decode(encoded))


def decode_event(encoded: bytes) -> Event:
    """The event in these bytes. Raises UnknownSchema, or UndecodableRecord for another kind of record too."""
    return as_event(decode(encoded))


def machine_of(stored: Stored) -> int:
    """The machine a record concerns; 0 for those about the partition itself. Raises ValueError for a foreign key."""
    return int(stored.key) if stored.key else 0


def as_event(record: Record) -> Event:
    """The record, if it belongs in the event log. Raises UndecodableRecord otherwise."""
    if type(record) not in _EVENTS:
        raise UndecodableRecord(f"a {type(record).__name__} does not belong in the event log")
    return cast("Event", record)


def expect(kind: type[R], record: Record) -> R:
    """The record, if it is of this kind. Raises UndecodableRecord otherwise."""
    if not isinstance(record, kind):
        raise UndecodableRecord(f"a {type(record).__name__} stands where a {kind.__name__} belongs")
    return record


@cache
def registry() -> Registry:
    """The process's registry: this release's schemas, and what the schema topic taught it."""
    return Registry()
