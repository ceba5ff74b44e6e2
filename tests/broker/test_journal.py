"""The journal of metadata: what is read back after any stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noetl_stream.broker.entries import (
    Entry,
    GroupChanged,
    GroupDeleted,
    LogSynced,
    OffsetsCommitted,
    OffsetsForgotten,
    ProducerIdsReserved,
    RecordsDeleted,
    TopicChanged,
    TopicCreated,
    TopicDeleted,
    TransactionChanged,
    TransactionForgotten,
    dump,
    load,
)
from noetl_stream.broker.journal import Journal, read_journal, rewrite_journal
from noetl_stream.commitlog.fsync import GroupCommit
from noetl_stream.errors import InfrastructureError

_ENTRIES: list[Entry] = [
    TopicCreated(name="t", directory="t-1", partitions=8, configs={"retention.ms": "-1"}),
    TopicChanged(name="t", partitions=9, configs={}),
    RecordsDeleted(topic="t", partition=3, offset=12),
    LogSynced(topic="t", partition=3, position=400),
    OffsetsCommitted(group="g\nü", offsets=[["t", 3, 14, "note"]], at=9),  # type: ignore[list-item]
    OffsetsForgotten(group="g", offsets=[["t", 3]]),  # type: ignore[list-item]
    GroupChanged(group="g", protocol_type="consumer", empty_since=-1),
    GroupDeleted(group="g"),
    ProducerIdsReserved(below=1000),
    TransactionChanged(
        transactional_id="x",
        producer_id=1,
        epoch=2,
        timeout_ms=60_000,
        state="Ongoing",
        partitions=[["t", 3]],  # type: ignore[list-item]
        offsets=[],
        began=5,
        at=6,
    ),
    TransactionForgotten(transactional_id="x"),
    TopicDeleted(name="t", directory="t-1"),
]


@pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: type(entry).__name__)
def test_an_entry_is_read_back_as_it_was(entry: Entry) -> None:
    assert load(dump(entry)) == entry


def test_an_older_journal_leaves_out_what_came_later() -> None:
    line = b'{"kind": "OffsetsCommitted", "group": "g", "offsets": []}'

    assert load(line) == OffsetsCommitted(group="g", offsets=[], at=-1)


async def test_what_was_written_is_read_in_order(tmp_path: Path) -> None:
    commit = GroupCommit("commit", lambda error: None)
    journal = Journal(tmp_path / "journal", commit, rewrite_above=1 << 20)
    for entry in _ENTRIES:
        await journal.write(entry)
    await commit.close()
    journal.close()

    assert read_journal(tmp_path / "journal") == _ENTRIES


@given(cut=st.integers(min_value=0, max_value=10**4))
@settings(max_examples=100, deadline=None)
def test_a_torn_last_line_is_left_out(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    rewrite_journal(path, _ENTRIES)
    content = path.read_bytes()
    kept = content[: cut % (len(content) + 1)]
    path.write_bytes(kept)

    assert read_journal(path) == _ENTRIES[: kept.count(b"\n")]


@given(at=st.integers(min_value=0, max_value=10**4))
@settings(max_examples=100, deadline=None)
def test_damage_before_a_sound_line_is_named(at: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    rewrite_journal(path, _ENTRIES)
    content = bytearray(path.read_bytes())
    last_line = content.rindex(b"\n", 0, -1)
    content[at % last_line] ^= 1
    path.write_bytes(bytes(content))

    with pytest.raises(InfrastructureError, match="journal is damaged at byte"):
        read_journal(path)


def test_an_entry_from_the_future_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    rewrite_journal(path, [GroupDeleted(group="g")])
    line = path.read_bytes().replace(b"GroupDeleted", b"GroupRenamed")
    from crc32c import crc32c

    path.write_bytes(b"%08x" % crc32c(line[9:-1]) + line[8:])

    with pytest.raises(InfrastructureError, match="start the version that wrote it"):
        read_journal(path)
