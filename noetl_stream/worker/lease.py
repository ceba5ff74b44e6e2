"""A long block detaches: it claims itself in the log and renews that claim, so that its offer holds back no offset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A worker's patience, in seconds."""

    detach_after: float = 5.0
    """A block is long from here on."""
    lease: float = 30.0
    """How long a claim holds; it is renewed at a third of that."""
    repeat_after: float = 1.0
    """Before an outcome that could not be appended is tried again."""
    report_after: float = 1.0
    """How long what has ended waits for what came along with it, before it is reported."""


USUAL = Pace()


async def hold(pace: Pace, claim: Callable[[], Awaitable[None]], detached: Callable[[], None]) -> None:
    """Claim what runs once it is long, say so, and renew until cancelled."""
    await asyncio.sleep(pace.detach_after)
    await claim()
    detached()
    while True:
        await asyncio.sleep(pace.lease / 3)
        await claim()
