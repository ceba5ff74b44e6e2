"""Playbooks as the services see them: pinned by path, version and digest, compiled once."""

from __future__ import annotations

from typing import Protocol

from noetl_stream.core.plan import Plan


class PinnedPlans(Protocol):
    """Plans that a log has pinned."""

    async def await_plan(self, path: str, version: int, digest: str, catalog_offset: int) -> Plan:
        """The plan, once the catalog was read to `catalog_offset`; bounded. Raises InvalidRequest if it is not there."""
        ...

    def known_plan(self, path: str, version: int, digest: str) -> Plan | None:
        """A plan that was awaited before."""
        ...

    def newest(self, path: str, version: int | None) -> Plan | None:
        """What a request for this path runs now; None if nothing is registered there. Raises InvalidRequest if it does
        not compile."""
        ...
