"""The time of a task whose tool stops the work itself: one sentence for its end, whatever did the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from noetl_stream.errors import ToolError


@asynccontextmanager
async def running_time(kind: str, seconds: float | None) -> AsyncIterator[None]:
    """The block, for so many seconds (None: as long as it takes); then it is cancelled.

    Raises:
        ToolError: its time is over. A TimeoutError of the block's own stays what it is.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise ToolError(
            f"the {kind} task ran longer than {seconds:g} s and was stopped; raise its `timeout` or let it do less",
            kind="timeout",
            retryable=True,
        ) from None
