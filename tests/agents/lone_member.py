"""A member in a process of its own, to be killed: prints each record's offset and never acknowledges one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.agents.members import Place


async def stay(bootstrap: str, topic: str, group: str, folder: str) -> None:
    async def take(event: Any) -> None:
        print(event.message.offset, flush=True)

    place = Place(bootstrap=bootstrap, topic=topic, group=group, folder=Path(folder))
    async with place.member(take).running():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stay(*sys.argv[1:]))
