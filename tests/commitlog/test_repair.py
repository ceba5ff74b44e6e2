"""Whatever is damaged is named by `check_log`; `recover_log` keeps all the rest and says which offsets are lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from noetl_stream.commitlog.index_file import index_path
from noetl_stream.commitlog.inspection import check_log
from noetl_stream.commitlog.recovery import open_partition
from noetl_stream.commitlog.repair import recover_log
from noetl_stream.commitlog.segment import SegmentLimits, log_path, log_paths
from noetl_stream.errors import InfrastructureError
from tests.commitlog.samples import append, batch, opened_storage, values

_LIMITS = SegmentLimits(max_bytes=600)
_RECORDS = [b"%d" % i * 30 for i in range(30)]


async def _write(directory: Path) -> None:
    """Thirty batches of one record in several segments, stopped in order."""
    async with opened_storage() as storage:
        partition = open_partition(directory, storage, limits=_LIMITS)
        for sequence, record in enumerate(_RECORDS):
            append(partition, batch(record, producer_id=1, epoch=0, sequence=sequence))
        partition.checkpoint()
        await partition.checkpointed()
        partition.close()


async def _read(directory: Path) -> dict[int, bytes]:
    async with opened_storage() as storage:
        partition = open_partition(directory, storage, limits=_LIMITS)
        found = dict[int, bytes]()
        offset = 0
        while chunk := partition.read(offset, 1 << 20, committed_only=False, whole_first=True):
            found.update(values(chunk))
            offset = max(found) + 1
        partition.close()
        return found


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x41
    path.write_bytes(content)


def _written_at(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.iterdir()}


def _batch_size(path: Path) -> int:
    return 12 + int.from_bytes(path.read_bytes()[8:12], "big")


async def test_a_sound_log_has_no_findings_and_is_not_touched(tmp_path: Path) -> None:
    await _write(tmp_path)
    before = _written_at(tmp_path)

    assert list(check_log(tmp_path)) == recover_log(tmp_path) == []

    assert _written_at(tmp_path) == before


async def test_a_damaged_batch_is_named_set_aside_and_all_others_are_kept(tmp_path: Path) -> None:
    await _write(tmp_path)
    second = log_paths(tmp_path)[1]
    base, at = int(second.stem), _batch_size(second)
    _flip(second, at + 80)

    (finding, *_) = check_log(tmp_path)
    assert (finding.path, finding.position) == (second, at)
    assert finding.message == f"is damaged up to byte {2 * at}, where offset {base + 1} should begin"

    (done, *_) = recover_log(tmp_path)
    assert f"offset {base + 1} is lost" in done.message
    assert (tmp_path / f"{second.stem}.{at}.damaged").stat().st_size == at
    assert list(check_log(tmp_path)) == []
    assert await _read(tmp_path) == {i: r for i, r in enumerate(_RECORDS) if i != base + 1}


async def test_a_durable_end_that_is_lost_leaves_a_gap(tmp_path: Path) -> None:
    """Its offsets may be known to consumers; they never come again."""
    await _write(tmp_path)
    last = log_paths(tmp_path)[-1]
    base = int(last.stem)
    last.write_bytes(last.read_bytes()[: _batch_size(last)])
    with pytest.raises(InfrastructureError, match=r"though it was durable up to byte .*broker recover"):
        await _read(tmp_path)
    assert [finding.path for finding in check_log(tmp_path)] == [last]

    recover_log(tmp_path)

    assert await _read(tmp_path) == dict(enumerate(_RECORDS[: base + 1]))
    async with opened_storage() as storage:
        partition = open_partition(tmp_path, storage)
        assert partition.end_offset == 30
        partition.close()


async def test_a_missing_segment_is_named_and_left_as_a_gap(tmp_path: Path) -> None:
    await _write(tmp_path)
    _, second, third, *_ = log_paths(tmp_path)
    lost = range(int(second.stem), int(third.stem))
    second.unlink()
    with pytest.raises(InfrastructureError, match=rf"ends at offset {lost[0]} and {third.name} begins"):
        await _read(tmp_path)
    assert f"the next segment begins at {lost[-1] + 1}" in str(next(check_log(tmp_path)))

    recover_log(tmp_path)

    assert list(check_log(tmp_path)) == []
    assert await _read(tmp_path) == {i: r for i, r in enumerate(_RECORDS) if i not in lost}


async def test_a_damaged_index_is_named_and_made_again(tmp_path: Path) -> None:
    await _write(tmp_path)
    for path in map(index_path, log_paths(tmp_path)[:2]):
        _flip(path, path.stat().st_size - 3)

    assert len(list(check_log(tmp_path))) == 2
    recover_log(tmp_path)

    assert list(check_log(tmp_path)) == []
    assert await _read(tmp_path) == dict(enumerate(_RECORDS))


async def test_an_unfinished_last_write_is_no_damage(tmp_path: Path) -> None:
    await _write(tmp_path)
    with log_paths(tmp_path)[-1].open("ab") as file:
        file.write(batch(b"torn")[:50])

    assert list(check_log(tmp_path)) == []
    assert await _read(tmp_path) == dict(enumerate(_RECORDS))


async def test_producers_go_on_where_they_were_after_a_repair(tmp_path: Path) -> None:
    await _write(tmp_path)
    _flip(log_path(tmp_path, 0), 70)
    recover_log(tmp_path)

    async with opened_storage() as storage:
        partition = open_partition(tmp_path, storage)
        again = batch(_RECORDS[29], producer_id=1, epoch=0, sequence=29)
        assert append(partition, again) == 29
        partition.close()


@pytest.mark.parametrize("seed", range(30))
async def test_any_damage_is_repaired_and_nothing_sound_is_lost(tmp_path: Path, seed: int) -> None:
    """Bytes flipped, files cut, indexes removed, anywhere: at most the batches that were hit are gone."""
    await _write(tmp_path)
    chance = random.Random(seed)
    hit = {number for _ in range(chance.randint(1, 4)) for number in _damage_something(tmp_path, chance)}

    findings = list(check_log(tmp_path))
    recover_log(tmp_path)

    assert list(check_log(tmp_path)) == []
    kept = await _read(tmp_path)
    assert kept.items() <= dict(enumerate(_RECORDS)).items()
    assert set(range(30)) - kept.keys() <= hit
    assert bool(findings) or kept.keys() == set(range(30))


def _damage_something(directory: Path, chance: random.Random) -> set[int]:
    """Do it to one segment; the offsets in it, of which some may be hit."""
    log = chance.choice([path for path in log_paths(directory) if path.stat().st_size])
    place = chance.randrange(log.stat().st_size)
    match chance.randint(0, 3):
        case 0:
            index_path(log).unlink(missing_ok=True)
            return set()
        case 1:
            log.write_bytes(log.read_bytes()[:place])
        case _:
            _flip(log, place)
    bases = [*(int(path.stem) for path in log_paths(directory)), 30]
    base = int(log.stem)
    return set(range(base, bases[bases.index(base) + 1]))
