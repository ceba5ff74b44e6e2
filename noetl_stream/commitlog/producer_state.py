"""What a log says of its producers: their last sequences and their open transactions, as of one offset."""

from __future__ import annotations

from typing import Self

import orjson

from noetl_stream.commitlog.batch import BatchHeader, Octets
from noetl_stream.commitlog.isolation import AbortedTransaction, Isolation
from noetl_stream.commitlog.producers import Producers
from noetl_stream.commitlog.record_codec import marker_commits


class ProducerState:
    """Follows the batches of a log in their order."""

    def __init__(self) -> None:
        self.producers = Producers()
        self.isolation = Isolation()

    def note(
        self, header: BatchHeader, position: int, batch: Octets, aborted: list[AbortedTransaction]
    ) -> None:
        """Learn from a batch, if it is of an idempotent producer. A transaction that it aborts is added to `aborted`."""
        if header.producer_id < 0:
            return
        self.producers.note(header)
        if header.control:
            ended = self.isolation.end(header, committed=marker_commits(header, batch))
            if ended is not None:
                aborted.append(ended)
        elif header.transactional:
            self.isolation.note(header, position)

    def dump(self) -> bytes:
        return orjson.dumps({"producers": self.producers.dump(), "open": self.isolation.dump()})

    @classmethod
    def loaded(cls, dumped: bytes) -> Self:
        """The state that `dump` wrote."""
        state, known = cls(), orjson.loads(dumped)
        state.producers.load(known["producers"])
        state.isolation.load(known["open"])
        return state
