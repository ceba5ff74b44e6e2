"""What a client is told when the broker will not do what it asked."""

from __future__ import annotations

from kio.schema.errors import ErrorCode


class Refused(Exception):
    """One of Kafka's error codes, with an optional sentence for protocols that carry one."""

    def __init__(self, code: ErrorCode, reason: str | None = None) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason or code.name)


class ConnectionRefused(Exception):
    """The client breaks the protocol in a way that Kafka answers by closing the connection."""
