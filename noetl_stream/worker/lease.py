"""A long block detaches: it claims itself in the log and renews that claim, so that its offer holds back no offset."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from noetl_stream.core.events import BlockClaimed
from noetl_stream.core.messages import Offer

DETACH_AFTER = 5.0
"""Seconds after which a block is long."""
LEASE = 30.0
"""Seconds that a claim holds; it is renewed at a third of that."""


async def hold(
    offer: Offer, run_id: str, append: Callable[[BlockClaimed], Awaitable[None]], detached: Callable[[], None]
) -> None:
    """Claim the block once it is long, say so, and renew until cancelled."""
    await asyncio.sleep(DETACH_AFTER)
    await append(_claim(offer, run_id))
    detached()
    while True:
        await asyncio.sleep(LEASE / 3)
        await append(_claim(offer, run_id))


def _claim(offer: Offer, run_id: str) -> BlockClaimed:
    now = time.time()
    return BlockClaimed(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        renew_by=now + LEASE,
        time=now,
    )
