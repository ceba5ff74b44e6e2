"""What `make test` is told of a session of several workers, and that none of its tests can hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

HANGING = """
import pytest

@pytest.mark.timeout(1)
def test_it():
    while True:
        pass
"""
FINDING = """
from tests.conftest import FOUND

def test_it(pytestconfig):
    pytestconfig.stash[FOUND]["a server of {name}"] = "its version"
"""


def session(folder: Path, *options: str) -> list[str]:
    """The lines that a session in `folder` prints; it has this suite's hooks."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", folder, "-p", "tests.conftest", *options, folder],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return run.stdout.splitlines()


def test_a_test_that_hangs_twice_ends_twice(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)

    said = session(tmp_path, "--reruns", "1", "--only-rerun", "Timeout .*pytest-timeout")

    assert "1 failed, 1 rerun" in said[-1]


def test_servers_that_workers_found_are_told_by_the_session(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(FINDING.format(name=name))

    said = session(tmp_path, "--numprocesses", "2", "--dist", "loadfile")

    assert {"a server of one: its version", "a server of two: its version"} <= set(said)
