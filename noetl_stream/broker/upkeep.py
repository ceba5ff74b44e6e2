"""Checks and repairs a data directory while no broker runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noetl_stream.broker.entries import Entry, TopicChanged, TopicCreated, TopicDeleted
from noetl_stream.broker.journal_lines import read_entries, salvage
from noetl_stream.broker.lock import DataDirectory
from noetl_stream.commitlog.append_file import write_whole
from noetl_stream.commitlog.inspection import Finding, check_log
from noetl_stream.commitlog.repair import recover_log
from noetl_stream.errors import InfrastructureError


def check(data: Path) -> list[Finding]:
    """All that is wrong with the journal and the logs in `data`; nothing is changed. It reads every byte.

    Raises:
        InfrastructureError: there is no broker's data, or a broker runs on it.
    """
    with _held(data) as directory:
        return [*_check_journal(directory), *(found for log in _logs(directory) for found in check_log(log))]


def recover(data: Path) -> list[Finding]:
    """Put right what `check` finds, as far as it can be; what was done, and which offsets are lost.

    Damaged bytes are set aside in `.damaged` files beside what they were cut from.

    Raises:
        InfrastructureError: as `check`.
        OSError: the disk does not take it; begin again once it does.
    """
    with _held(data) as directory:
        done = _recover_journal(directory)
        return [*done, *(found for log in _logs(directory) for found in recover_log(log))]


@contextmanager
def _held(data: Path) -> Iterator[DataDirectory]:
    if not (data / "journal").exists() and not (data / "logs").is_dir():
        raise InfrastructureError(f"{data} holds no broker's data; name the directory that --data named")
    directory = DataDirectory(data)
    try:
        yield directory
    finally:
        directory.release()


def _check_journal(directory: DataDirectory) -> Iterator[Finding]:
    path = directory.journal
    if not path.exists():
        yield Finding(path=path, message="is missing beside existing logs; restore it from a copy")
        return
    content = path.read_bytes()
    _, damaged = salvage(content)
    for position, stretch in damaged:
        if position + len(stretch) < len(content):
            yield Finding(path=path, position=position, message=f"{len(stretch)} bytes are damaged")
    if not damaged:
        yield from _check_topics(directory, content)


def _check_topics(directory: DataDirectory, content: bytes) -> Iterator[Finding]:
    known = _partitions(read_entries(directory.journal, content))
    for name, count in known.items():
        for index in range(count):
            if not (path := directory.logs / name / str(index)).is_dir():
                yield Finding(path=path, message="is missing; restore it from a copy, or delete the topic")
    for path in directory.logs.glob("*"):  # none where the folder itself is gone
        if path.name not in known and any(log.stat().st_size for log in path.rglob("*.log")):
            yield Finding(path=path, message="holds records of a topic that the journal does not know")


def _partitions(entries: Iterator[Entry]) -> dict[str, int]:
    """How many partitions the topic in each directory has."""
    directories, counts = dict[str, str](), dict[str, int]()
    for entry in entries:
        match entry:
            case TopicCreated(name=name, directory=directory, partitions=count):
                directories[name], counts[directory] = directory, count
            case TopicChanged(name=name, partitions=count):
                counts[directories[name]] = count
            case TopicDeleted(directory=directory):
                counts.pop(directory, None)
            case _:
                pass
    return counts


def _recover_journal(directory: DataDirectory) -> list[Finding]:
    path = directory.journal
    if not path.exists():
        return list(_check_journal(directory))
    content = path.read_bytes()
    kept, damaged = salvage(content)
    done = []
    for position, stretch in damaged:
        aside = path.with_name(f"journal.{position}.damaged")
        write_whole(aside, stretch)
        message = f"{len(stretch)} bytes were set aside in {aside.name}; what they said is lost"
        done.append(Finding(path=path, position=position, message=message))
    if damaged:
        write_whole(path, kept)
        return done
    return list(_check_topics(directory, content))


def _logs(directory: DataDirectory) -> list[Path]:
    """The folder of every partition."""
    return sorted(path for path in directory.logs.glob("*/*") if path.is_dir())
