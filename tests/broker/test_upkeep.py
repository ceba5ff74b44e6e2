"""A stopped broker's directory: what is damaged is found, and what is sound of it can be used again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.upkeep import check, recover
from noetl_stream.errors import InfrastructureError
from tests.broker.writers import numbers_read


async def _write(data: Path, *topics: str) -> None:
    async with (
        EmbeddedBroker(data) as broker,
        AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer,
    ):
        for topic in topics:
            for number in range(5):
                await producer.send_and_wait(topic, b"%d" % number, partition=0)


def _log(data: Path, topic: str) -> Path:
    (log,) = data.glob(f"logs/{topic}-*/0/*.log")
    return log


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


async def test_a_directory_as_a_broker_left_it_has_no_findings(tmp_path: Path) -> None:
    await _write(tmp_path, "a", "b")

    assert check(tmp_path) == recover(tmp_path) == []


async def test_a_running_broker_is_not_disturbed(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path):
        for upkeep in (check, recover):
            with pytest.raises(InfrastructureError, match="another broker uses"):
                upkeep(tmp_path)


def test_a_directory_that_is_no_brokers_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="holds no broker's data"):
        check(tmp_path / "mistyped")
    assert not (tmp_path / "mistyped").exists()


async def test_logs_that_are_gone_are_found_one_by_one(tmp_path: Path) -> None:
    await _write(tmp_path, "a", "b")
    shutil.rmtree(tmp_path / "logs")

    assert [finding.message for finding in check(tmp_path)] == [
        "is missing; restore it from a copy, or delete the topic"
    ] * 2
    assert recover(tmp_path) == check(tmp_path)


async def test_a_damaged_log_is_found_and_the_rest_of_it_served_again(tmp_path: Path) -> None:
    await _write(tmp_path, "a", "b")
    log = _log(tmp_path, "a")
    _flip(log, 12 + int.from_bytes(log.read_bytes()[8:12], "big") + 65)

    assert str(check(tmp_path)[0]).startswith(f"{log} at byte ")
    assert "offset 1 is lost" in str(recover(tmp_path)[0])

    assert check(tmp_path) == []
    async with EmbeddedBroker(tmp_path) as broker:
        assert await numbers_read(broker.bootstrap, "a") == [0, 2, 3, 4]
        assert await numbers_read(broker.bootstrap, "b") == [0, 1, 2, 3, 4]


async def test_a_damaged_journal_entry_is_set_aside_and_the_others_hold(tmp_path: Path) -> None:
    """A topic that only the damaged entry knew stays where it is, for somebody to decide."""
    await _write(tmp_path, "a", "b")
    journal = tmp_path / "journal"
    _flip(journal, journal.read_bytes().index(b'"name":"a"') + 9)
    with pytest.raises(InfrastructureError, match=r"sound entries follow.*broker recover"):
        async with EmbeddedBroker(tmp_path):
            pass

    assert [finding.path for finding in check(tmp_path)] == [journal]
    assert "were set aside in journal." in recover(tmp_path)[0].message

    (finding,) = check(tmp_path)
    assert finding.path == _log(tmp_path, "a").parent.parent
    assert "a topic that the journal does not know" in finding.message
