"""A run of the demo on three brokers, and one of them struck at a moment of the log."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from noetl_stream.ids import partition_of
from noetl_stream.settings import Settings
from tests.integration.client import Client, installed
from tests.integration.conftest import settings_at
from tests.integration.demo import DEMO, Outcome, outcome
from tests.integration.test_kills import accepted, completions
from tests.kafka_quorum import Machine, Quorum, crashed, paused

Victim = Literal["leader", "controller", "coordinator"]
"""Of the execution's partition of the event log; of the cluster; of the orchestrators' group."""
Blow = Literal["kill", "pause"]
PAUSE = 7.0
"""Seconds: more than twice a broker's session, and less than clients wait for an answer."""
LIMIT = 50.0
"""Seconds a struck run may take to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """Whom to strike, how, and after how many accepted completions."""

    victim: Victim
    blow: Blow
    moment: int

    def __str__(self) -> str:
        return f"{self.blow} the {self.victim} after {self.moment} completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What came of a run: how often each completion was accepted, and what the demo left."""

    accepted: Counter[str]
    outcome: Outcome


async def struck(quorum: Quorum, strike: Strike, folder: Path) -> Struck:
    """Run the demo, all roles in this process, under a strike. The cluster is whole again when it returns."""
    await quorum.whole()
    settings = settings_at(quorum.bootstrap, folder)
    async with installed(settings) as client:
        path = await client.register(DEMO)
        execution = await client.ask(path, {"out": str(folder / "out")})
        await client.told(execution, until=completions(strike.moment))
        machine = quorum.machines[await _chosen(quorum, client, settings, execution, strike.victim)]
        async with _down(machine, strike.blow):
            told = await client.told(execution, limit=LIMIT)
            found = await outcome(client, await client.story(execution), folder / "out")
    return Struck(accepted=accepted(told), outcome=found)


def _down(machine: Machine, blow: Blow) -> AbstractAsyncContextManager[None]:
    """Gone for the block, or silent until it is no longer the leader of anything; back at the end."""
    return crashed(machine) if blow == "kill" else paused(machine, PAUSE)


async def _chosen(quorum: Quorum, client: Client, settings: Settings, execution: int, victim: Victim) -> int:
    match victim:
        case "leader":
            events = client.platform.topics.events
            return await quorum.leader(events.name, partition_of(execution, events.partitions))
        case "controller":
            return await quorum.controller()
        case "coordinator":
            return await quorum.coordinator(settings.group("orchestrator"))
