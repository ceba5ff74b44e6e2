"""What a client is told when the broker will not do what it asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kio.schema.errors import ErrorCode


class Refused(Exception):
    """One of Kafka's error codes, with an optional sentence for protocols that carry one."""

    def __init__(self, code: ErrorCode, reason: str | None = None) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason or code.name)


@contextmanager
def storing(code: ErrorCode) -> Iterator[None]:
    """Around a change: that the disk has no room for it is answered with `code`.

    Raises:
        Refused: nothing of it was kept, or what was is gone on with when the client asks again.
    """
    try:
        yield
    except OSError as error:
        raise Refused(code, f"The disk took nothing: {error}") from error


class ConnectionRefused(Exception):
    """The client breaks the protocol in a way that Kafka answers by closing the connection."""
