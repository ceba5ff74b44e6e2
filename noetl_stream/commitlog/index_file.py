"""The file beside a segment that says what is known of it up to a position: its checkpoint.

`<base offset>.index` holds the offset and time index, the aborted transactions, and what producers had done at that
position, which was durable when this was written. So start-up reads nothing before it. It is replaced whole or not at
all, every part carries a checksum, and all of it can be made again from the log: losing one costs time, never records.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

from noetl_stream.commitlog.append_file import write_whole
from noetl_stream.commitlog.isolation import AbortedTransaction

# In this machine's byte order, as the columns are; on another machine the magic does not match and it is made again.
_MAGIC = 0x4E53_4958_0001
_HEAD = struct.Struct("=qqqqqqqqqIII")
_CHECKSUM = struct.Struct("=I")
_ABORTED = struct.Struct("=qqq")
_HEAD_SIZE = 96
_PADDING = _HEAD_SIZE - _HEAD.size - _CHECKSUM.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is known of a segment up to byte `position`, which is durable.

    `next_offset` follows the last offset before it. Timestamps are in milliseconds, -1 without records. `state` is
    ProducerState's dump, `columns` the index's.
    """

    base_offset: int
    position: int
    next_offset: int
    earliest: int
    latest: int
    aborted: tuple[AbortedTransaction, ...]
    state: bytes
    columns: bytes


class IndexHead(NamedTuple):
    """The fixed part at the beginning, in the order of the file. Sizes are in bytes."""

    magic: int
    base_offset: int
    position: int
    next_offset: int
    earliest: int
    latest: int
    aborted_size: int
    state_size: int
    columns_size: int
    aborted_checksum: int
    state_checksum: int
    columns_checksum: int

    @property
    def state_at(self) -> int:
        return _HEAD_SIZE + self.aborted_size

    @property
    def columns_at(self) -> int:
        return self.state_at + self.state_size


def index_path(log: Path) -> Path:
    """Where the index of the segment `log` lies."""
    return log.with_suffix(".index")


def write_checkpoint(path: Path, known: Checkpoint) -> None:
    """Replace the index file at `path`, durably.

    Raises:
        OSError: the disk did not take it; the former file still stands.
    """
    aborted = b"".join(_ABORTED.pack(*one) for one in known.aborted)
    head = _HEAD.pack(
        _MAGIC, known.base_offset, known.position, known.next_offset, known.earliest, known.latest,
        len(aborted), len(known.state), len(known.columns),
        crc32c(aborted), crc32c(known.state), crc32c(known.columns),
    )  # fmt: skip
    checksum = _CHECKSUM.pack(crc32c(head))
    write_whole(path, b"".join((head, checksum, bytes(_PADDING), aborted, known.state, known.columns)))


def read_head(path: Path) -> IndexHead | None:
    """The head, or None if there is no sound one."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        raw = file.read(_HEAD_SIZE)
    if len(raw) < _HEAD_SIZE or raw[_HEAD.size :][: _CHECKSUM.size] != _CHECKSUM.pack(
        crc32c(raw[: _HEAD.size])
    ):
        return None
    head = IndexHead._make(_HEAD.unpack_from(raw))
    return head if head.magic == _MAGIC else None


def read_aborted(path: Path, head: IndexHead) -> tuple[AbortedTransaction, ...] | None:
    """The aborted transactions, or None if they are damaged."""
    raw = _read_part(path, _HEAD_SIZE, head.aborted_size, head.aborted_checksum)
    return None if raw is None else tuple(map(AbortedTransaction._make, _ABORTED.iter_unpack(raw)))


def read_state(path: Path) -> bytes | None:
    """The producers' state, or None if it is missing or damaged."""
    head = read_head(path)
    return _read_state(path, head) if head is not None else None


def read_columns(path: Path, head: IndexHead) -> bytes | None:
    """The index, or None if it is damaged."""
    return _read_part(path, head.columns_at, head.columns_size, head.columns_checksum)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """All of the file, or None if it is missing or any part of it is damaged."""
    head = read_head(path)
    if head is None:
        return None
    aborted, state, columns = read_aborted(path, head), _read_state(path, head), read_columns(path, head)
    if aborted is None or state is None or columns is None:
        return None
    return Checkpoint(
        base_offset=head.base_offset,
        position=head.position,
        next_offset=head.next_offset,
        earliest=head.earliest,
        latest=head.latest,
        aborted=aborted,
        state=state,
        columns=columns,
    )


def _read_state(path: Path, head: IndexHead) -> bytes | None:
    return _read_part(path, head.state_at, head.state_size, head.state_checksum)


def _read_part(path: Path, position: int, size: int, checksum: int) -> bytes | None:
    if size == 0:
        return b""
    with path.open("rb") as file:
        file.seek(position)
        raw = file.read(size)
    return raw if len(raw) == size and crc32c(raw) == checksum else None
