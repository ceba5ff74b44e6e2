"""What the simulator holds to be true of fences, the outbox and acknowledgements, of real processes and a real log."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from noetl_stream.core.events import BlockFailed, BlockOffered
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from tests.campaigns.load import Load
from tests.contract.clients import Kafka
from tests.integration.client import LIMIT, Client, installed
from tests.integration.processes import kill, roles
from tests.integration.test_kills import accepted, completions
from tests.integration.test_requests import GREET

TRIES_AGAIN = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: tries_again}
workflow:
- step: patient
  tool:
    kind: noop
    spec:
      policy:
        rules:
        - when: "{{ not ctx.has_waited }}"
          then: {do: retry, delay: 5, set: {ctx.has_waited: true}}
"""
SLOW_FIRST = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: slow_first}
workflow:
- step: each
  loop: {in: [0, 1, 2, 3], iterator: n, spec: {mode: parallel}}
  tool:
    kind: python
    input: {n: "{{ n }}", folder: "{{ workload.folder }}"}
    code: |
      import pathlib, time
      runs = pathlib.Path(folder, f"runs of {n}")
      before = runs.read_text() if runs.exists() else ""
      runs.write_text(before + "once ")
      if n == 0 and not before:
          time.sleep(120)
      result = n
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One partition, so that one owner decides everything and one worker gets every offer."""
    return settings.model_copy(update={"partitions": 1})


async def test_the_fence_voids_what_an_owner_decides_after_it_slept_past_its_session(
    settings: Settings, command: Path
) -> None:
    """Its timer is due when it wakes, before it can learn that the group has given its partition away.

    That it has decided what came after the failure tells that it had set the timer before it fell asleep.
    """
    async with (
        installed(settings, "intake", "worker:default") as client,
        roles(command, settings) as started,
        _followed(client) as load,
    ):
        zombie = await started.start("orchestrator")
        execution = await client.ask(await client.register(TRIES_AGAIN))
        await client.told(execution, until=lambda told: isinstance(told.event, BlockFailed))
        await client.run(GREET)
        zombie.send_signal(signal.SIGSTOP)
        await started.begin("orchestrator")
        told = await client.told(execution)
        zombie.send_signal(signal.SIGCONT)
        await load.until(lambda: load.ledgers[0].fenced_off > 0)
        after = await client.story(await client.ask("tries_again"))

    assert accepted(told) == {"patient/0/0": 1}
    assert load.ledgers[0].violations == []
    assert load.ledgers[0].stale >= load.ledgers[0].fenced_off
    assert after.status == "COMPLETED"


async def test_the_outbox_of_an_owner_that_died_before_it_could_send_is_sent_by_the_next(
    settings: Settings, command: Path
) -> None:
    """Offers cannot be sent, since their topic takes none of their size; the decision to offer stands in the log."""
    blocks = settings.topics.blocks("default").name
    async with installed(settings, "intake") as client, roles(command, settings) as started:
        path = await client.register(GREET)
        await _limit_records(settings.bootstrap, blocks, 1)
        doomed = await started.start("orchestrator")
        execution = await client.ask(path)
        before = await client.told(execution, until=_offers)
        await kill(doomed)
        sent = await client.platform.reader.end(blocks, 0)
        await _limit_records(settings.bootstrap, blocks, 1_000_000)
        await asyncio.gather(*map(started.begin, ("orchestrator", "worker")))
        told = await client.told(execution)

    assert sent == 0
    assert [each.record.offset for each in told if _offers(each)] == [before[-1].record.offset]
    assert accepted(told) == {"hello/0/0": 1}


async def test_prefix_acknowledgement_runs_again_what_was_unfinished_behind_finished_blocks(
    settings: Settings, command: Path, tmp_path: Path
) -> None:
    async with installed(settings, "intake", "orchestrator") as client, roles(command, settings) as started:
        doomed = await started.start("worker")
        path = await client.register(SLOW_FIRST)
        execution = await client.ask(path, {"folder": str(tmp_path)})
        before = await client.told(execution, until=completions(3))
        await kill(doomed)
        await started.begin("worker")
        told = await client.told(execution)
        results = (await client.results(await client.story(execution)))["each"]["results"]

    assert accepted(before) == Counter(f"each/0/{n}" for n in (1, 2, 3))
    assert (tmp_path / "runs of 0").read_text() == "once once "
    assert accepted(told) == Counter(f"each/0/{n}" for n in range(4))
    assert results == [0, 1, 2, 3]


@asynccontextmanager
async def _followed(client: Client) -> AsyncIterator[Load]:
    """The event log, followed from its beginning."""
    load = Load(client=client)
    async with load.following(), asyncio.timeout(LIMIT + LIMIT / 2):
        yield load


def _offers(told: Told) -> bool:
    return any(isinstance(move, BlockOffered) for move in told.folded.moves)


async def _limit_records(bootstrap: str, topic: str, most: int) -> None:
    """The largest record, in bytes, that a topic takes."""
    await Kafka(bootstrap=bootstrap).alter(topic, {"max.message.bytes": str(most)})
