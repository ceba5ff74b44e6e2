"""What holds of every process that runs a user's code: what it is given of ours, its end, and how that is told."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def bare_environment(folder: Path) -> dict[str, str]:
    """No variable of ours: where commands are, and `folder` as its home and for temporary files."""
    place = str(folder)
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": place, "TMPDIR": place}


def kill_group(leader: int) -> None:
    """End a group by its leader's pid, at once; one that is gone stays gone."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def how_ended(status: int) -> str:
    """`exit status 3`, or `signal 9` where the status is negative."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"
