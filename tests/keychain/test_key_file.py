"""A key is made once, read by its owner alone, and never guessed at."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from noetl_stream.errors import InfrastructureError, InvalidRequest
from noetl_stream.keychain.key_file import KeyFile, new_key_file


def test_a_new_key_is_its_owner_s_alone_and_is_read_again(tmp_path: Path) -> None:
    made = new_key_file(tmp_path / "k")

    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert KeyFile.read(tmp_path / "k") == made
    assert made.key.hex() not in repr(made)
    assert new_key_file(tmp_path / "other").id != made.id


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = new_key_file(tmp_path / "k")

    with pytest.raises(InvalidRequest, match="is there already, and a key is never overwritten"):
        new_key_file(tmp_path / "k")
    assert KeyFile.read(tmp_path / "k") == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_reach_is_refused(mode: int, tmp_path: Path) -> None:
    new_key_file(tmp_path / "k")
    os.chmod(tmp_path / "k", mode)

    with pytest.raises(InvalidRequest, match=rf"\(mode {mode:04o}\); take that away: chmod 600"):
        KeyFile.read(tmp_path / "k")


@pytest.mark.parametrize("text", ["", "hello", "aGVsbG8=", "A" * 200])
def test_what_is_no_key_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "k").touch(mode=0o600)
    (tmp_path / "k").write_text(text)

    with pytest.raises(InvalidRequest, match="is no key file: it holds no 32 bytes"):
        KeyFile.read(tmp_path / "k")


def test_a_file_that_is_not_there_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"No such file.*keychain new-key"):
        KeyFile.read(tmp_path / "none")


async def test_what_it_wrapped_for_one_it_does_not_unwrap_for_another() -> None:
    key = KeyFile.of(b"k" * 32)
    wrapped = await key.wrap(b"d" * 32, b"pg 1")

    assert await key.unwrap(wrapped, b"pg 1") == b"d" * 32
    for other in (b"pg 2", b""):
        with pytest.raises(InfrastructureError, match="was the record changed"):
            await key.unwrap(wrapped, other)
    with pytest.raises(InfrastructureError, match="was the record changed"):
        await key.unwrap(b"", b"pg 1")
