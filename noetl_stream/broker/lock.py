"""One broker per data directory: the lock that ensures it, and the note that says where the broker listens."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path

from noetl_stream.commitlog.append_file import write_whole
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

_LOCK = "lock"
_ADDRESS = "broker.json"


class DataDirectory:
    """A data directory held by this process. The kernel lets go of the lock however the process ends."""

    def __init__(self, path: Path) -> None:
        """Create the directory if need be, and lock it.

        Raises:
            InfrastructureError: another broker holds it, or it cannot be written.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InfrastructureError(
                f"the data directory {path} cannot be used ({error}); choose one that this user may write"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InfrastructureError(
                f"another broker uses {path}{_where(path)}; connect to that one, or choose another data directory"
            ) from None

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def announce(self, bootstrap: str) -> None:
        """Write `broker.json`, whole or not at all. It is a convenience: a full disk can be read from without it."""
        noted = json.dumps({"bootstrap": bootstrap, "pid": os.getpid()}) + "\n"
        try:
            write_whole(self.path / _ADDRESS, noted.encode())
        except OSError as error:
            logger.warning("%s could not be written: %s", self.path / _ADDRESS, error)

    def release(self) -> None:
        (self.path / _ADDRESS).unlink(missing_ok=True)
        os.close(self._lock)


def _where(path: Path) -> str:
    address = path / _ADDRESS
    if not address.exists():
        return ""
    noted = json.loads(address.read_text())
    return f" (process {noted['pid']}, at {noted['bootstrap']})"
