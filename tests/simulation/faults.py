"""What goes wrong in a run, how often, and who does it. Every probability is per opportunity, every choice the seed's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from tests.simulation.world import World

Fault: TypeAlias = Literal[
    "crash",  # a process forgets everything
    "rebalance",  # partitions move, also to where they were
    "zombie",  # a process takes a turn without having heard of it
    "pause",  # a process stops and later goes on as if nothing had happened
    "drop",  # an append is lost
    "delay",  # an append arrives later, its sender may be gone
    "lost_ack",  # an append or a message arrives, its sender does not hear of it
    "slow_ack",  # an acknowledgement is heard after other things happened
    "checkpoint",  # not a fault: how eagerly rounds are begun
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """One profile. All zero is calm."""

    crash: float = 0.0
    rebalance: float = 0.0
    zombie: float = 0.0
    pause: float = 0.0
    drop: float = 0.0
    delay: float = 0.0
    lost_ack: float = 0.0
    slow_ack: float = 0.0
    checkpoint: float = 0.1


CALM = Faults()
PROFILES: dict[str, Faults] = {
    "mixed": Faults(
        crash=0.01, rebalance=0.02, zombie=0.5, lost_ack=0.05, drop=0.03, delay=0.03, slow_ack=0.1
    ),
    "crashes": Faults(crash=0.03, zombie=0.2),
    "zombies": Faults(rebalance=0.06, zombie=0.95, delay=0.2, crash=0.003, pause=0.05),
    "acks": Faults(crash=0.01, lost_ack=0.2, drop=0.1, delay=0.2, slow_ack=0.3),
    "workers": Faults(crash=0.02, rebalance=0.01, zombie=0.3),
    "stores": Faults(crash=0.003, rebalance=0.03, zombie=0.8, checkpoint=1.0, pause=0.05),
    "single": Faults(zombie=0.9),  # one guided fault at one moment, nothing else
}


class Actor(Protocol):
    """A process: it hears of rebalances when it is told, and acts one await at a time."""

    name: str

    @property
    def halfway(self) -> bool:
        """Between two writes that belong together: the worst moment to be stopped."""
        ...

    def learn(self) -> None: ...

    def step(self) -> None: ...

    def crash(self) -> None: ...


def turn(world: World, actor: Actor) -> None:
    """One await of one process, unless it is stopped."""
    if world.paused.get(actor.name, 0.0) > world.now:
        return
    if not world.chance("zombie"):
        actor.learn()
    actor.step()


def disturb(world: World, actors: Sequence[Actor]) -> None:
    """Let time go on, and perhaps something happen."""
    world.now += world.rng.random() < 0.15
    if world.chance("crash"):
        crash(world, world.rng.choice(actors))
    if world.chance("pause"):
        _pause(world, world.rng.choice([actor for actor in actors if actor.halfway] or actors))
    if world.chance("rebalance"):
        world.group.move(world.rng.randrange(2))
    if world.chance("rebalance"):
        world.blocks.move(world.rng)
    if world.limbo and world.rng.random() < 0.1:
        world.land(world.limbo.pop(world.rng.randrange(len(world.limbo))), "late")


def crash(world: World, actor: Actor) -> None:
    world.note(f"{actor.name} crashes")
    actor.crash()


def _pause(world: World, actor: Actor) -> None:
    world.paused[actor.name] = world.now + world.rng.randrange(2, 12)
    world.note(f"{actor.name} paused until {world.paused[actor.name]:.0f}")
    if world.rng.random() < 0.5:
        world.group.move(world.rng.randrange(2))


def strike(world: World, actors: Sequence[Actor]) -> None:
    """The one fault of a single-fault run."""
    match world.rng.randrange(3):
        case 0:
            crash(world, world.rng.choice(actors))
        case 1:
            world.group.move(world.rng.randrange(2))
        case _:
            world.blocks.move(world.rng)
