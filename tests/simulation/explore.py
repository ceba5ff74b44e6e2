"""One run: faults while they last, then calm until nothing moves; then the invariants. And campaigns of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from noetl_stream.core.events import CancelRequested, Decision, ExecutionEnded, ExecutionRequested
from noetl_stream.ids import execution_id, keyed_request
from tests.simulation.asking import Outsider, asking
from tests.simulation.bundles import together as bundled
from tests.simulation.checkpoints import Shelf
from tests.simulation.faults import CALM, PROFILES, Actor, disturb, strike, turn
from tests.simulation.invariants import check
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.plans import plans
from tests.simulation.refolding import from_checkpoint, from_zero
from tests.simulation.wishes import Wisher
from tests.simulation.worker import Worker
from tests.simulation.world import WORKERS, Record, World

STEPS = 600
PATIENCE = 6_000
"""Seconds of virtual time after the faults in which every execution must end."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays. A mutation replaces one of them."""

    orchestrator: type[Orchestrator] = Orchestrator
    worker: type[Worker] = Worker
    shelf: type[Shelf] = Shelf


@dataclass(slots=True)
class Run:
    """A run's findings, and the world they were found in."""

    seed: int
    profile: str
    bad: list[str]
    world: World
    once: bool = False


def profile_of(seed: int) -> str:
    """Campaigns walk through the profiles."""
    return list(PROFILES)[seed % len(PROFILES)]


def explore(
    seed: int,
    profile: str | None = None,
    cast: Cast | None = None,
    *,
    once: bool = False,
    together: bool = False,
    wishes: bool = False,
    asks: bool = False,
) -> Run:
    """One run; `profile` as the seed has it unless given, `once` with effects that may happen once, `together` with iterations
    in bundles, `wishes` with somebody who stops iterations and runs them again, `asks` with steps that ask the outside.

    An exception in the code under test is a finding too.
    """
    profile, cast = profile or profile_of(seed), cast or Cast()
    drawn = plans(Random(seed), wide=profile == "workers", once=once)
    found = bundled(drawn, Random(seed)) if together else drawn
    found = asking(found, Random(seed)) if asks else found
    outsider = Outsider(seed) if asks else None
    world = World(seed, PROFILES[profile], found, cast.shelf())
    owners = [cast.orchestrator(world, index) for index in range(2)]
    actors: list[Actor] = [*owners, *(cast.worker(world, index) for index in range(WORKERS))]
    try:
        bad = _faulty(world, actors, profile, Wisher(seed) if wishes else None, outsider)
        _calm(world, actors, owners, outsider)
        bad += check(world, owners)
    except Exception as fault:  # whatever it is, the seed and the trace are what helps
        bad = [f"raises: {type(fault).__name__}: {fault}"]
    return Run(seed, profile, bad, world, once)


def _faulty(
    world: World, actors: list[Actor], profile: str, wisher: Wisher | None, outsider: Outsider | None
) -> list[str]:
    """The restless part. What clients did not get around to, they do at its end."""
    rng, (todo, cancels), bad = world.rng, letters(world.rng), list[str]()
    cut = rng.randrange(STEPS) if profile == "single" else -1
    for step in range(STEPS):
        if step == cut:
            strike(world, actors)
        if world.shelf.changed and profile == "stores":
            world.shelf.changed = False
            bad += from_checkpoint(world, from_zero(world))
        disturb(world, actors)
        if todo and rng.random() < 0.06:
            _post(world, todo.pop(rng.randrange(len(todo))))
        if cancels and (rng.random() < 0.005 or _about_to_end(actors, cancels[-1].machine)):
            _post(world, cancels.pop())
        if wisher is not None:
            wisher.turn(world, [actor for actor in actors if isinstance(actor, Orchestrator)])
        if outsider is not None:
            outsider.turn(world)
        turn(world, rng.choice(actors))
        if bad:
            break
    for letter in todo + cancels:
        _post(world, letter)
    return bad


def _about_to_end(actors: list[Actor], machine: int) -> bool:
    """The worst moment for a cancel: the end is decided, but not yet in the log."""
    queues = [actor.producing for actor in actors if isinstance(actor, Orchestrator)]
    waiting = [append.event for queue in queues for append in queue if append.machine == machine]
    moves = [move for event in waiting if isinstance(event, Decision) for move in event.moves]
    return any(isinstance(move, ExecutionEnded) for move in moves)


def _post(world: World, letter: Record) -> None:
    world.land(Record(letter.machine, letter.event, world.now), "client")


def letters(rng: Random) -> tuple[list[Record], list[Record]]:
    """What clients send, in any order: two requests, one of them twice; perhaps cancels, even before their requests."""
    requests = [request(f"key {n}", x=rng.randrange(4)) for n in range(2)]
    again = requests[rng.randrange(2)]
    late = rng.random() < 0.1
    if late:
        requests[0] = request("key 0", x=0, deadline=1_000.0 + rng.randrange(5, 60))
        again = requests[1]
    cancels = (
        [Record(requests[0].machine, CancelRequested(time=1_000.0), 1_000.0)] if rng.random() < 0.25 else []
    )
    return [*requests, again], cancels[: rng.choice((0, 0, 1, 2))]


def request(key: str, *, x: int = 0, path: str = "main", deadline: float | None = None) -> Record:
    """A client's request."""
    identity = keyed_request("default", path, key)
    event = ExecutionRequested(
        identity=identity.hex(),
        path=path,
        version=1,
        digest="",
        catalog_offset=0,
        payload={"x": x},
        seed=key,
        time=1_000.0,
        reply_to="answers",
        deadline=deadline,
    )
    return Record(execution_id(identity), event, 1_000.0)


def _calm(world: World, actors: list[Actor], owners: list[Orchestrator], outsider: Outsider | None) -> None:
    world.faults = CALM
    world.paused.clear()
    world.note("--- calm")
    settle(world, actors, owners, outsider)


def settle(
    world: World,
    actors: Sequence[Actor],
    owners: Sequence[Orchestrator],
    outsider: Outsider | None = None,
) -> None:
    """Everybody takes turns until nothing is left to do, or patience is."""
    while world.limbo:
        world.land(world.limbo.pop(), "late")
    for _ in range(PATIENCE):
        if settled(world, owners):
            return
        world.now += 1.0
        if outsider is not None:
            outsider.settle(world)
        for actor in actors:
            actor.learn()
            for _ in range(8):
                actor.step()


def settled(world: World, owners: Sequence[Orchestrator]) -> bool:
    """The owner has read everything, decided everything, sent everything; nothing is open, no offer waits."""
    living = owners[world.group.owner].owner
    if living is None or living.state.machines or not world.blocks.drained:
        return False
    return living.position == len(world.log) and living.committable == living.position


@dataclass(slots=True)
class Report:
    """A campaign: how many runs, which failed, and by what."""

    runs: int = 0
    failed: list[Run] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def shortest(self) -> Run | None:
        return min(self.failed, key=lambda run: len(run.world.log), default=None)


def campaign(
    seeds: Iterable[int],
    cast: Cast | None = None,
    *,
    stop: int | None = None,
    once: bool = False,
    together: bool = False,
    wishes: bool = False,
    asks: bool = False,
) -> Report:
    """Run many seeds; `stop` after so many failures."""
    report = Report()
    for seed in seeds:
        run = explore(seed, cast=cast, once=once, together=together, wishes=wishes, asks=asks)
        report.runs += 1
        if run.bad:
            report.failed.append(run)
            report.kinds.update({line.split(":")[0] for line in run.bad})
        if stop is not None and len(report.failed) >= stop:
            break
    return report
