"""What nobody has used for long is forgotten: positions of empty groups, transactional ids, idle producers."""

from __future__ import annotations

import asyncio
import logging

from noetl_stream.broker.clock import wall_clock
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions
from noetl_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)


class Expiry:
    """Looks every `expiry_interval` seconds, from `run` until it is cancelled."""

    def __init__(
        self, settings: BrokerSettings, topics: Topics, groups: Groups, transactions: Transactions
    ) -> None:
        self._settings = settings
        self._topics, self._groups, self._transactions = topics, groups, transactions

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.expiry_interval)
            try:
                await self.look()
            except (OSError, InfrastructureError) as error:
                logger.warning(
                    "what is out of use could not be forgotten, and is tried again later: %s", error
                )
            except Exception:
                logger.exception("what is out of use could not be forgotten; report it with this trace")

    async def look(self) -> None:
        """Forget what is past its time now."""
        settings = self._settings
        await self._groups.forget_unused(
            _ago(settings.offsets_retention), self._transactions.has_pending_offset
        )
        await self._transactions.forget_idle(_ago(settings.transactional_id_expiration))
        for topic in self._topics:
            for partition in topic.partitions:
                partition.expire_producers(_ago(settings.producer_id_expiration))


def _ago(seconds: float) -> int:
    return wall_clock() - int(seconds * 1000)
