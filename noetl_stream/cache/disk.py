"""What the caches share on a local disk: a folder for this process alone, and the sentence for a disk that fails."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noetl_stream.errors import InfrastructureError

_LOCK = "lock"


class OwnFolder:
    """Files under `root` that belong to this process; what a killed one left goes when the next one begins.

    A process holds a lock in its folder, which the kernel lets go of however the process ends.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._count = root, itertools.count()
        self._path: Path | None = None
        self._moving_in = threading.Lock()

    def name(self) -> Path:
        """A path where nothing stands yet. Raises OSError."""
        return self.path() / f"{next(self._count)}.arrow"

    def path(self) -> Path:
        """The folder itself. Raises OSError."""
        with self._moving_in:
            if self._path is None:
                self._path, lock = _move_in(self._root)
                self._leave = weakref.finalize(self, _leave, self._path, lock)
            return self._path

    def close(self) -> None:
        """Remove the folder; another begins with the next name."""
        with self._moving_in:
            if self._path is not None:
                self._leave()
            self._path = None


def _move_in(root: Path) -> tuple[Path, int]:
    """A new folder and the lock that says whose it is."""
    root.mkdir(parents=True, exist_ok=True)
    with _held(root / _LOCK):
        _sweep(root)
        path = root / secrets.token_hex(8)
        path.mkdir()
        lock = _open(path / _LOCK)
        fcntl.flock(lock, fcntl.LOCK_SH)
    return path, lock


def sweep(root: Path) -> int:
    """Remove what processes that have ended left under `root`; how many folders. Raises OSError."""
    if not root.is_dir():
        return 0
    with _held(root / _LOCK):
        return _sweep(root)


def _sweep(root: Path) -> int:
    gone = [folder for folder in root.iterdir() if folder.is_dir() and _abandoned(folder / _LOCK)]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def _abandoned(lock: Path) -> bool:
    try:
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Nobody else is here meanwhile: a folder is never swept between its making and its lock."""
    file = _open(lock)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _leave(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """A disk that fails is the platform's to mend."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"the cache at {root} cannot be used ({error.strerror or error}); check space and permissions"
        ) from error
