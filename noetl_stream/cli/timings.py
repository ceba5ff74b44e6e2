"""Where a command's time went, in seconds."""

from __future__ import annotations

import time
from pathlib import Path


class Timings:
    """Marks the ends of parts. The first part is what came before: the interpreter and the command line."""

    def __init__(self) -> None:
        self._parts: dict[str, float] = {"start": _since_start()}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        """A part ends here."""
        now = time.perf_counter()
        self._parts[part] = now - self._last
        self._last = now

    def line(self) -> str:
        """`start 0.15 s · check 0.20 s · … · total 1.90 s`."""
        parts = {**self._parts, "total": sum(self._parts.values())}
        return " · ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())


def _since_start() -> float:
    """Seconds since this process began, where the system tells; 0 elsewhere."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return max(0.0, uptime - ticks / _TICKS)


_TICKS = 100
"""Linux counts a process's start in hundredths of a second, whatever its clock does."""
