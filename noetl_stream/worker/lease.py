"""A long block detaches: it claims itself in the log and renews that claim, so that its offer holds back no offset."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from noetl_stream.core.events import BlockClaimed
from noetl_stream.core.messages import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A worker's patience, in seconds."""

    detach_after: float = 5.0
    """A block is long from here on."""
    lease: float = 30.0
    """How long a claim holds; it is renewed at a third of that."""
    repeat_after: float = 1.0
    """Before an outcome that could not be appended is tried again."""


USUAL = Pace()


async def hold(
    offer: Offer,
    run_id: str,
    pace: Pace,
    append: Callable[[BlockClaimed], Awaitable[None]],
    detached: Callable[[], None],
) -> None:
    """Claim the block once it is long, say so, and renew until cancelled."""
    await asyncio.sleep(pace.detach_after)
    await append(_claim(offer, run_id, pace))
    detached()
    while True:
        await asyncio.sleep(pace.lease / 3)
        await append(_claim(offer, run_id, pace))


def _claim(offer: Offer, run_id: str, pace: Pace) -> BlockClaimed:
    now = time.time()
    return BlockClaimed(
        block=offer.block,
        attempt=offer.attempt,
        segment=offer.segment,
        run=run_id,
        renew_by=now + pace.lease,
        time=now,
    )
