"""Files and their names: what is durable when, as far as the disk keeps what it was told to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from noetl_stream.commitlog import append_file
from noetl_stream.commitlog.append_file import AppendFile, write_whole


@pytest.fixture
def synced_names(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names in a folder at each time it was synced."""
    names: list[list[str]] = []
    sync = append_file.sync_directory

    def noted(folder: Path) -> None:
        names.append(sorted(os.listdir(folder)))
        sync(folder)

    monkeypatch.setattr(append_file, "sync_directory", noted)
    return names


def test_a_name_is_synced_once_and_again_after_a_rename(
    tmp_path: Path, synced_names: list[list[str]]
) -> None:
    file = AppendFile(tmp_path / "fresh")
    file.append(b"a")
    file.sync()
    file.sync()
    file.rename(tmp_path / "kept")
    file.sync()
    file.sync()
    file.close()

    assert synced_names == [["fresh"], ["kept"]]
    assert (tmp_path / "kept").read_bytes() == b"a"


def test_what_is_written_whole_is_there_under_its_name_after_a_power_loss(
    tmp_path: Path, synced_names: list[list[str]]
) -> None:
    write_whole(tmp_path / "users.json", b"{}")

    assert synced_names == [["users.json"]]


def test_what_a_crash_left_does_not_open_a_secret_to_others(tmp_path: Path) -> None:
    (tmp_path / "users.json.new").write_bytes(b"half")
    (tmp_path / "users.json.new").chmod(0o666)

    write_whole(tmp_path / "users.json", b"{}", mode=0o600)

    assert stat.S_IMODE((tmp_path / "users.json").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["users.json"]


def test_a_disk_without_room_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"before")
    (tmp_path / "kept.new").mkdir()

    with pytest.raises(OSError, match=r"kept\.new"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
