"""The end of a container's output, out of frames: each has eight bytes before it, of which the last four are its length."""

from __future__ import annotations

from typing import Final

LOG_BYTES: Final = 32 * 1024
_HEAD: Final = 8
_STREAMS: Final = ("input", "output", "error")


class Tail:
    """The last 32 KiB, however much comes."""

    def __init__(self) -> None:
        self._head, self._left, self._kept, self._framed = b"", 0, b"", True

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    def feed(self, chunk: bytes) -> None:
        while chunk and self._framed:
            if self._left:
                taken, chunk = chunk[: self._left], chunk[self._left :]
                self._left -= len(taken)
                self._kept = (self._kept + taken)[-LOG_BYTES:]
                continue
            missing = _HEAD - len(self._head)
            self._head, chunk = self._head + chunk[:missing], chunk[missing:]
            if len(self._head) == _HEAD:
                # Podman says within its answer, without a frame, that the container was deleted meanwhile.
                self._framed = self._head[0] < len(_STREAMS) and not any(self._head[1:4])
                self._left, self._head = int.from_bytes(self._head[4:], "big"), b""
