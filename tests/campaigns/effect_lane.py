"""One installation whose workers are killed as soon as an effect is seen, and a count of what came of every effect."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import uuid4

from psycopg import AsyncConnection

from noetl_stream.core.report import Story
from noetl_stream.settings import Settings
from tests.campaigns.effect_site import Effect, Site, serving
from tests.campaigns.lane import Stuck
from tests.integration.client import Client, installed
from tests.integration.processes import COMMAND, Roles, kill, roles

LIMIT: Final = 900.0
"""Seconds that an execution may take, killed again and again."""
SOON: Final = 60.0
"""Seconds in which a new worker must be seen to work."""
TIMES: Final = 6
"""Effects of each kind that an execution of BOOK causes."""
MOST: Final = 8
"""A victim dies at one of so many effects."""
MOMENTS: Final = ("once", "told", "/once", "/counted")
"""What is seen happening: rows of two tables, and requests to two paths."""
BOOK = f"""
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: book}}
keychain:
- {{name: shop, kind: static, data: {{dsn: "{{{{ workload.dsn }}}}"}}}}
workflow:
- step: book
  loop: {{in: {TIMES}, iterator: n, spec: {{mode: parallel, max_in_flight: 3}}}}
  tool:
  - once:
      kind: postgres
      auth: shop
      spec: {{effects: exactly_once}}
      query: INSERT INTO once (run, n) VALUES ($run, $n) RETURNING place
      params: {{run: "{{{{ execution_id | string }}}}", n: "{{{{ n }}}}"}}
  - local:
      kind: sqlite
      spec: {{effects: exactly_once}}
      database: "{{{{ workload.file }}}}"
      query: INSERT INTO once (run, n) VALUES ($run, $n); SELECT count(*) AS there FROM once WHERE run = $run AND n = $n
      params: {{run: "{{{{ execution_id | string }}}}", n: "{{{{ n }}}}"}}
  - asked:
      kind: http
      spec: {{effects: exactly_once}}
      method: POST
      url: "{{{{ workload.site }}}}/once"
      body: {{run: "{{{{ execution_id | string }}}}", n: "{{{{ n }}}}"}}
  - told:
      kind: postgres
      auth: shop
      query: INSERT INTO told (run, n) VALUES ($run, $n)
      params: {{run: "{{{{ execution_id | string }}}}", n: "{{{{ n }}}}"}}
  - result: {{kind: noop, result: ["{{{{ once.rows[0].place }}}}", "{{{{ local.rows[0].there }}}}"]}}
"""
CHARGE = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: charge}
workflow:
- step: charge
  spec: {effects: at_most_once}
  tool:
    kind: http
    timeout: 2
    method: POST
    url: "{{ workload.site }}/counted"
    body: {run: "{{ execution_id | string }}", n: 0}
"""
TABLES = """
CREATE TABLE once (run text, n int, place serial);
CREATE TABLE told (run text, n int);
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('seen', TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER seen AFTER INSERT ON once FOR EACH ROW EXECUTE FUNCTION seen();
CREATE TRIGGER seen AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION seen();
LISTEN seen
"""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a lane's effects happen."""

    dsn: str
    file: Path
    site: Site
    shop: AsyncConnection


@dataclass(kw_only=True)
class Watch:
    """Effects as they are seen, by what was seen."""

    seen: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, moment: str) -> None:
        self.seen[moment] += 1
        self.changed.set()

    async def more(self, moment: str, count: int) -> None:
        """Returns at the sight of the last of so many more. Raises Stuck."""
        goal = self.seen[moment] + count
        try:
            async with asyncio.timeout(SOON):
                while self.seen[moment] < goal:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise Stuck(f"fewer than {count} more of {moment} in {SOON:g} s from a new worker") from None


@dataclass(kw_only=True)
class Lane:
    """An installation under load. `ended` are the stories of what was asked for."""

    client: Client
    started: Roles
    places: Places
    watch: Watch
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ended: dict[str, dict[int, Story]] = field(default_factory=lambda: {"book": {}, "charge": {}})
    results: dict[int, Any] = field(default_factory=dict)

    async def strike(self, chance: random.Random) -> None:
        """Start a worker, and kill it as soon as an effect is seen."""
        worker = await self.started.start("worker")
        await self.watch.more(chance.choice(MOMENTS), chance.randrange(1, MOST))
        await kill(worker)

    async def ask(self, path: str) -> None:
        """One execution after the other, until `stop`."""
        places = self.places
        payload = {"dsn": places.dsn, "file": str(places.file), "site": places.site.url}
        while not self.stop.is_set():
            execution = await self.client.ask(path, payload)
            await self.client.told(execution, limit=LIMIT)
            story = self.ended[path][execution] = await self.client.story(execution)
            if path == "book" and story.status == "COMPLETED":
                self.results[execution] = (await self.client.results(story))["book"]["results"]

    async def count(self) -> Counts:
        """What came of every effect, once nothing runs."""
        with closing(sqlite3.connect(self.places.file)) as local:
            kept = local.execute("SELECT run, n FROM once").fetchall()
        return Counts(
            books=self.ended["book"],
            charges=self.ended["charge"],
            results=self.results,
            rows=await self._rows("SELECT run, n, place FROM once"),
            told=[Effect(*row) for row in await self._rows("SELECT run, n FROM told")],
            local=Counter(Effect(*row) for row in kept),
            site=self.places.site,
        )

    async def _rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        return await (await self.places.shop.execute(query)).fetchall()


@dataclass(frozen=True, kw_only=True)
class Counts:
    """A lane's effects after its end."""

    books: dict[int, Story]
    charges: dict[int, Story]
    results: dict[int, Any]
    rows: list[tuple[Any, ...]]
    told: list[Effect]
    local: Counter[Effect]
    site: Site

    @property
    def lost(self) -> int:
        """Charges of which nobody knows."""
        return sum(story.status != "COMPLETED" for story in self.charges.values())

    @property
    def repeated(self) -> int:
        """How often a block ran again though its effects had happened: what came after all of them came twice."""
        return len(self.told) - len(set(self.told))

    @property
    def violations(self) -> list[str]:
        wanted = {Effect(str(run), n) for run in self.books for n in range(TIMES)}
        once = Counter(Effect(run, n) for run, n, _ in self.rows)
        asked = Counter(self.site.applied.values())
        return [
            *(
                f"execution {run} ended {s.status}"
                for run, s in self.books.items()
                if s.status != "COMPLETED"
            ),
            *_uneven("PostgreSQL", once, wanted),
            *_uneven("sqlite", self.local, wanted),
            *_uneven("the web service", asked, wanted),
            *self._untold(),
            *self._twice(),
        ]

    def _untold(self) -> list[str]:
        """Executions whose result is not what stands in the database."""
        places = {Effect(run, n): place for run, n, place in self.rows}
        return [
            f"execution {run} says {found}"
            for run, found in self.results.items()
            if found != [[places.get(Effect(str(run), n)), 1] for n in range(TIMES)]
        ]

    def _twice(self) -> list[str]:
        """Charges that happened twice, or that neither happened nor were said to be lost."""
        found = []
        for run, story in self.charges.items():
            times = self.site.counted[Effect(str(run), 0)]
            error = None if story.end is None or story.end.error is None else story.end.error.code
            if times > 1 or (story.status == "COMPLETED" and times != 1):
                found.append(f"charge {run} {story.status} and happened {times} times")
            elif story.status != "COMPLETED" and error != "lost":
                found.append(f"charge {run} {story.status} with {error}")
        return found


def _uneven(where: str, found: Counter[Effect], wanted: set[Effect]) -> list[str]:
    """Effects that happened otherwise than once."""
    every = wanted | found.keys()
    return [f"{effect} happened {found[effect]} times in {where}" for effect in every if found[effect] != 1]


@asynccontextmanager
async def lane(bootstrap: str, dsn: str, folder: Path) -> AsyncIterator[Lane]:
    """An installation of its own, on an empty database of its own, whose workers are for the block to start."""
    settings = Settings(
        bootstrap=bootstrap,
        data=folder,
        prefix=f"effects-{uuid4().hex[:8]}.",
        partitions=1,
        slots=6,
        processes=1,
        allow_private=True,
    )
    watch, file = Watch(), _local_in(folder)
    async with (
        serving(watch.tell) as site,
        await AsyncConnection.connect(dsn, autocommit=True) as seeing,
        await AsyncConnection.connect(dsn, autocommit=True) as shop,
        installed(settings, "intake", "orchestrator") as client,
        roles(COMMAND, settings) as started,
        asyncio.TaskGroup() as group,
    ):
        await seeing.execute(TABLES)
        listening = group.create_task(_listen(seeing, watch))
        for text in (BOOK, CHARGE):
            await client.register(text)
        places = Places(dsn=dsn, file=file, site=site, shop=shop)
        yield Lane(client=client, started=started, places=places, watch=watch)
        listening.cancel()


def _local_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    file = folder / "effects.db"
    with closing(sqlite3.connect(file)) as local:
        local.execute("CREATE TABLE once (run TEXT, n INT)")
    return file


async def _listen(connection: AsyncConnection, watch: Watch) -> None:
    async for each in connection.notifies():
        watch.tell(each.payload)
