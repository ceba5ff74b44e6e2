"""Users of a data directory: verifiers that outlive the process, and nothing from which a password could be read."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from noetl_stream.broker.users import SCRAM_SHA_256, SCRAM_SHA_512, Users, verifier_of_nobody
from noetl_stream.errors import InfrastructureError, InvalidRequest


def test_a_user_is_kept_without_its_password(tmp_path: Path) -> None:
    Users(tmp_path).set("ann", "correct horse")

    (file,) = tmp_path.glob("users.json")
    assert Users(tmp_path).names() == ("ann",)
    assert "correct horse" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_password_twice_has_different_verifiers(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.set("ann", "secret")
    users.set("bob", "secret")

    assert users.find("ann", SCRAM_SHA_256) != users.find("bob", SCRAM_SHA_256)
    assert users.find("ann", SCRAM_SHA_256) != users.find("ann", SCRAM_SHA_512)


def test_a_deleted_user_is_gone_and_an_unknown_one_is_said_to_be(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.set("ann", "secret")
    users.delete("ann")

    assert users.find("ann", SCRAM_SHA_256) is None
    with pytest.raises(InvalidRequest, match="there is no user 'ann'"):
        users.delete("ann")


def test_users_set_at_once_are_all_kept(tmp_path: Path) -> None:
    names = [f"user-{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: Users(tmp_path).set(name, "secret"), names))

    assert Users(tmp_path).names() == tuple(names)


@pytest.mark.parametrize(
    ("name", "password"), [("", "p"), ("a\nb", "p"), ("a" * 256, "p"), ("ann", ""), ("ann", "\x00")]
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(InvalidRequest):
        Users(tmp_path).set(name, password)
    assert Users(tmp_path).names() == ()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text("{")

    with pytest.raises(InfrastructureError, match=r"users\.json cannot be read"):
        Users(tmp_path).names()


def test_nobody_has_the_same_salt_whenever_it_is_asked_for() -> None:
    """Else whoever asks twice learns which names exist."""
    first, again, other = (verifier_of_nobody(name) for name in ("x", "x", "y"))

    assert first.salt == again.salt != other.salt
    assert first.stored_key != again.stored_key
