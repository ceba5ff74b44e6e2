"""Messages of a JetStream consumer: the server remembers which of them it still waits for."""

from __future__ import annotations

from typing import Any, Final, Literal

from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call
from noetl_stream.tools.http.body import parsed
from noetl_stream.tools.nats.client import connected

_SETTLED: Final = {"ack": b"+ACK", "nack": b"-NAK"}
_MARK: Final = ["$JS", "ACK"]
_SHORT: Final = 9


class NatsSource:
    """Implements `Source`. An id is the subject that a message is acknowledged on, good from any connection."""

    def __init__(self, call: Call, *, allow_private: bool) -> None:
        self._call, self._config, self._allow_private = call, call.config, allow_private

    async def poll(self) -> list[dict[str, Any]]:
        async with connected(self._call, allow_private=self._allow_private) as client:
            stream = client.jetstream()
            # Asked first: a fetch from a consumer that is not there would only wait.
            await stream.consumer_info(self._config.stream, self._config.consumer)
            pulling = await stream.pull_subscribe_bind(
                consumer=self._config.consumer, stream=self._config.stream
            )
            try:
                found = await pulling.fetch(self._config.batch, timeout=self._config.timeout_ms / 1000)
            except NatsTimeout:
                found = []
            return [_message(each) for each in found]

    async def settle(self, ids: list[str], how: Literal["ack", "nack"]) -> None:
        # Nothing else is published on a subject that a message named.
        for each in ids:
            if not self._is_ours(each):
                raise ToolError(
                    f"'{each}' is no message of consumer '{self._config.consumer}'; give `ids` those of a poll",
                    kind="validation",
                )
        async with connected(self._call, allow_private=self._allow_private) as client:
            for each in ids:
                await client.request(each, _SETTLED[how], timeout=self._config.timeout_ms / 1000)

    def _is_ours(self, subject: str) -> bool:
        """`$JS.ACK.<stream>.<consumer>.…` of nine parts, or of more with a domain and an account before the stream."""
        parts = subject.split(".")
        named = parts[2:4] if len(parts) == _SHORT else parts[4:6]
        return parts[:2] == _MARK and named == [self._config.stream, self._config.consumer]


def _message(found: Msg) -> dict[str, Any]:
    about = found.metadata
    return {
        "id": found.reply,
        "data": parsed(found.data, "", "utf-8"),
        "headers": dict(found.headers or {}),
        "metadata": {
            "subject": found.subject,
            "stream": about.stream,
            "consumer": about.consumer,
            "sequence": about.sequence.stream,
            "delivered": about.num_delivered,
            "timestamp": int(about.timestamp.timestamp() * 1000),
        },
    }
