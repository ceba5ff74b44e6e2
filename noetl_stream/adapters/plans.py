"""Plans from the catalog, as intake, orchestrator and worker ask for them."""

from __future__ import annotations

from noetl_stream.adapters.catalog import KafkaCatalog
from noetl_stream.adapters.versions import Entry
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan
from noetl_stream.errors import InvalidPlaybook, InvalidRequest

PATIENCE = 30.0
"""Seconds to wait for a catalog that lags behind the log."""


class CatalogPlans:
    """A `ports.catalog.PinnedPlans` over the catalog's tail. Each version is compiled once a process."""

    def __init__(self, catalog: KafkaCatalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, int, str], Plan] = {}

    async def await_plan(self, path: str, version: int, digest: str, catalog_offset: int) -> Plan:
        key = (path, version, digest)
        if key not in self._known:
            await self._catalog.wait_for(catalog_offset, PATIENCE)
            self._known[key] = self._pinned(path, version, digest)
        return self._known[key]

    def _pinned(self, path: str, version: int, digest: str) -> Plan:
        entry = self._catalog.lookup(path, version)
        if entry is None or entry.digest != digest:
            raise InvalidRequest(
                f"the catalog has no {path} version {version} with digest {digest[:12]}; was the topic recreated?"
            )
        return self._compiled(entry)

    def _compiled(self, entry: Entry) -> Plan:
        try:
            return self._catalog.plan(entry)
        except InvalidPlaybook as error:
            raise InvalidRequest(f"{entry.path} version {entry.version} does not compile: {error}") from error

    def known_plan(self, path: str, version: int, digest: str) -> Plan | None:
        return self._known.get((path, version, digest))

    def newest(self, path: str, version: int | None) -> Plan | None:
        entry = self._catalog.lookup(path, version)
        return None if entry is None else self._compiled(entry)

    async def plan(self, offer: Offer) -> Plan:
        """The plan an offer pins, for a worker."""
        return await self.await_plan(offer.path, offer.version, offer.digest, offer.catalog_offset)
