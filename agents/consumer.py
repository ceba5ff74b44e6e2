"""Faust's consumer, made to go on exactly where the group has committed.

During a rebalance Faust drops what a fetch that is under way still brings, since it seeks back afterwards. But that seek
leaves a partition that has no committed offset where the fetch ended: its records are passed over, and whoever produced
them waits for ever (`tests/agents/test_faust_rebalance.py`). Nor does it wait for the fetch to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from faust.app import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from noetl_stream.adapters.connection import end_fetches

FETCH = 0.25
"""Seconds that a fetch waits for records, and so the longest that it can hold up a rebalance."""


class StoppingThread(AIOKafkaConsumerThread):
    """Ends although a broker is away; otherwise a fetch that waits for its next try would end it before Faust hears of
    it, and `app.stop` would wait for ever."""

    async def on_thread_stop(self) -> None:
        if self._consumer is not None:
            await end_fetches(self._consumer)
        await super().on_thread_stop()


class ExactConsumer(Consumer):
    """Fetches nothing while it seeks, and seeks every partition."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._no_fetch = asyncio.Event()
        self._no_fetch.set()

    def _new_consumer_thread(self) -> StoppingThread:
        return StoppingThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        self._no_fetch.clear()
        try:
            return await super()._getmany(active_partitions, min(timeout, FETCH))
        finally:
            self._no_fetch.set()

    async def perform_seek(self) -> None:
        """Called while the flow is stopped: no other fetch begins before it is over."""
        await self._no_fetch.wait()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """The committed offsets; a partition that has none is read from its beginning.

        Offset 0 stands for it: asking where it is would wait behind a fetch that waits. Where retention has moved the
        beginning, that offset is out of range, and `consumer_auto_offset_reset` goes to the earliest.
        """
        committed: Mapping[TP, int] = await super().seek_to_committed()
        if fresh := [partition for partition, offset in committed.items() if not offset]:
            await self._thread.seek_wait(dict.fromkeys(fresh, 0))
        return committed


class ExactTransport(Transport):
    Consumer = ExactConsumer


class ExactApp(App):
    """An app whose consumer is exact."""

    def _new_transport(self) -> Transport:
        return ExactTransport(self.conf.broker_consumer, self)
