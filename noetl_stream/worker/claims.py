"""An effect that may happen once only is claimed in the object store before its tool runs. Whoever comes second runs nothing."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from noetl_stream.errors import InfrastructureError, NoetlError
from noetl_stream.ports.frames import Cache

UNTIMED = 60.0
"""Seconds that a run without a timeout is waited for, once another would run its effect."""
TO_REPORT = 5.0
"""Seconds beyond its timeout that a run is given to report. One that takes longer renews its lease, and so its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who may cause the effect `key`, in which `segment` of its block."""

    key: str
    segment: int
    run: str
    timeout: float | None

    @property
    def name(self) -> str:
        """What the object is called. It has no attempt: the next one must not cause the effect either."""
        return f"{self.key}/{self.segment}"


class Taken(NoetlError):
    """Another run holds the claim, until `deadline` (seconds since the epoch)."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        super().__init__("another run has claimed this effect")


async def take(cache: Cache, claim: Claim) -> None:
    """Returns once the claim is this run's. Raises Taken, or InfrastructureError where nobody knows whose it is."""
    deadline = time.time() + (UNTIMED if claim.timeout is None else claim.timeout) + TO_REPORT
    content = json.dumps({"run": claim.run, "deadline": deadline}).encode()
    if not await cache.create(claim.name, content):
        raise Taken(_read(claim, await cache.read(claim.name))["deadline"])


def _read(claim: Claim, content: bytes) -> dict[str, Any]:
    try:
        return json.loads(content)  # type: ignore[no-any-return]
    except ValueError:
        raise InfrastructureError(
            f"the claim '{claim.name}' in the cache cannot be read; find out whether its effect happened, "
            "then run the step by itself"
        ) from None
