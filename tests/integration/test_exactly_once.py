"""`effects: exactly_once` on real processes: workers killed as soon as an effect is seen, before they can report it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg import AsyncConnection

from noetl_stream.settings import Settings
from tests.integration.client import LIMIT, installed
from tests.integration.processes import kill, roles

EFFECTS = 30
KILLS = 2
BOOK = f"""
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: book}}
keychain:
- {{name: shop, kind: static, data: {{dsn: "{{{{ workload.dsn }}}}"}}}}
workflow:
- step: book
  loop: {{in: {EFFECTS}, iterator: n, spec: {{mode: parallel, max_in_flight: 4}}}}
  tool:
  - plain: {{kind: postgres, auth: shop, query: INSERT INTO plain VALUES ($n), params: {{n: "{{{{ n }}}}"}}}}
  - once:
      kind: postgres
      auth: shop
      spec: {{effects: exactly_once}}
      query: INSERT INTO once (n) VALUES ($n) RETURNING n, place
      params: {{n: "{{{{ n }}}}"}}
  - local:
      kind: sqlite
      spec: {{effects: exactly_once}}
      database: "{{{{ workload.file }}}}"
      query: CREATE TABLE IF NOT EXISTS once (n INT); INSERT INTO once VALUES ($n); SELECT sum(n) AS total FROM once WHERE n = $n
      params: {{n: "{{{{ n }}}}"}}
  - result: {{kind: noop, result: ["{{{{ once.rows[0].n }}}}", "{{{{ once.rows[0].place }}}}", "{{{{ local.rows[0].total }}}}"]}}
"""


TABLES = """
CREATE TABLE plain (n int);
CREATE TABLE once (n int, place serial);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY effects; RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT ON once FOR EACH ROW EXECUTE FUNCTION tell();
LISTEN effects
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The document names a database of this machine."""
    few = {"partitions": 1, "slots": 4, "processes": 1}
    return settings.model_copy(update={**few, "allow_private": True})


@pytest.mark.timeout(180)
async def test_workers_killed_between_effect_and_event_apply_each_effect_once(
    settings: Settings, command: Path, database: str, tmp_path: Path
) -> None:
    file = tmp_path / "effects.db"
    async with await AsyncConnection.connect(database, autocommit=True) as watching:
        await watching.execute(TABLES)
        effects = watching.notifies()
        async with (
            installed(settings, "intake", "orchestrator") as client,
            roles(command, settings) as started,
        ):
            execution = await client.ask(await client.register(BOOK), {"dsn": database, "file": str(file)})
            for _ in range(KILLS):
                doomed = await started.start("worker")
                async with asyncio.timeout(LIMIT):
                    for _ in range(EFFECTS // (KILLS + 1)):
                        await anext(effects)
                await kill(doomed)
            await started.begin("worker")
            story = await client.story(execution)
            results = await client.results(story)
        await effects.aclose()
        plain = await _rows(watching, "SELECT n FROM plain")
        stored = await _rows(watching, "SELECT n, place FROM once ORDER BY n")

    assert story.status == "COMPLETED"
    assert len(plain) > EFFECTS, "no kill struck between an effect and its event"
    with closing(sqlite3.connect(file)) as local:
        assert local.execute("SELECT n FROM once ORDER BY n").fetchall() == [(n,) for n in range(EFFECTS)]
    assert [n for n, _ in stored] == list(range(EFFECTS))
    assert results["book"]["results"] == [[n, place, n] for n, place in stored]


async def _rows(connection: AsyncConnection, query: LiteralString) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query)).fetchall()
