"""A broker that is killed right after its Nth write to a log or to the journal: `dying_broker.py DIR PORT N`.

Writes are counted from the moment it is ready. It is killed as by `kill -9`: what the kernel has is kept, no more.
"""

from __future__ import annotations

import os
import signal
import sys

from noetl_stream.broker.__main__ import main
from noetl_stream.broker.lock import DataDirectory
from noetl_stream.commitlog.append_file import AppendFile


def die_after(writes: int) -> None:
    left = [writes]
    append, announce = AppendFile.append, DataDirectory.announce
    ready: list[str] = []

    def counted(file: AppendFile, chunk: bytes | bytearray) -> int:
        position = append(file, chunk)
        left[0] -= bool(ready)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return position

    def announced(directory: DataDirectory, bootstrap: str) -> None:
        announce(directory, bootstrap)
        ready.append(bootstrap)

    setattr(AppendFile, "append", counted)  # noqa: B010
    setattr(DataDirectory, "announce", announced)  # noqa: B010


if __name__ == "__main__":
    data, port, count = sys.argv[1:]
    die_after(int(count))
    sys.argv = [sys.argv[0], "--data", data, "--port", port, "--until-stdin-closes"]
    sys.exit(main())
