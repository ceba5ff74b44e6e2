"""Plans whose steps ask the outside, and the outside: it answers early, late, twice, and some there forge their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from noetl_stream.core.events import BlockId, CallbackReceived
from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Plan, Step
from noetl_stream.core.run import is_iteration
from noetl_stream.core.tokens import Token, issue
from noetl_stream.core.values import Value
from noetl_stream.worker.bundle import lives_of
from tests.simulation.scripts import Script
from tests.simulation.world import World

OFTEN = 0.04
"""How likely an answer is at each step of a run."""
LIE = "a lie"


def truth(block: BlockId | str) -> Value:
    """What the outside answers whoever asks it."""
    return f"the answer to {block}"


def asking(plans: Mapping[str, Plan], rng: Random) -> dict[str, Plan]:
    """The same plans, some of their steps asking."""
    return {
        path: replace(plan, steps={name: _step(step, rng) for name, step in plan.steps.items()})
        for path, plan in plans.items()
    }


def _step(step: Step, rng: Random) -> Step:
    script: Script | None = step.tool
    if script is None or script.once or script.kind not in ("plain", "nap") or rng.random() < 0.4:
        return step
    return replace(step, tool=replace(script, kind="ask", timeout=rng.choice((None, 1.0))))


class Outsider:
    """Holds every token that was ever given out: as soon as a run has its offer, it may have told it."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"answers {seed}")
        self._answered = set[Token]()

    def turn(self, world: World) -> None:
        """Perhaps an answer to any segment there ever was, which meets the same fates as any append."""
        if self._rng.random() >= OFTEN or not (asked := self._asked(world)):
            return
        offer = self._rng.choice(asked[-8:] if self._rng.random() < 0.8 else asked)
        if self._rng.random() < 0.25:
            self._lie(world, offer)
        else:
            self._answer(world, offer)

    def settle(self, world: World) -> None:
        """Whoever still waits is answered: once, whatever came of it."""
        for offer in self._asked(world):
            if _token(offer, offer.seed) not in self._answered:
                self._answer(world, offer)

    def _answer(self, world: World, offer: Offer) -> None:
        token = _token(offer, offer.seed)
        if world.append(offer.execution, _says(token, truth(offer.block), world.now), "outside") is not None:
            self._answered.add(token)

    def _lie(self, world: World, offer: Offer) -> None:
        """With a seal of another seed, another segment, or another execution."""
        block, attempt, segment = offer.block, offer.attempt, offer.segment
        stolen = self._rng.choice(
            (
                _token(offer, "a guess"),
                issue(offer.seed, offer.execution, block, attempt, segment + 1),
                issue(offer.seed, offer.execution, block, attempt + 1, segment),
                issue(offer.seed, offer.execution + 1, block, attempt, segment),
                issue(offer.seed, offer.execution, block._replace(epoch=9), attempt, segment),
            )
        )
        forged = replace(_token(offer, offer.seed), seal=stolen.seal)
        world.append(offer.execution, _says(forged, LIE, world.now), "a liar")

    @staticmethod
    def _asked(world: World) -> list[Offer]:
        return [
            life
            for offers in world.blocks.offers
            for offer in offers
            if is_iteration(offer.block.iteration) and _asks(world, offer)
            for life in lives_of(offer)
        ]


def _asks(world: World, offer: Offer) -> bool:
    script: Script | None = world.plans[offer.path].steps[offer.block.step].tool
    return script is not None and script.kind == "ask"


def _token(offer: Offer, seed: str) -> Token:
    return issue(seed, offer.execution, offer.block, offer.attempt, offer.segment)


def _says(token: Token, answer: Value, now: float) -> CallbackReceived:
    return CallbackReceived(
        block=token.block,
        attempt=token.attempt,
        segment=token.segment,
        seal=token.seal,
        time=now,
        answer=answer,
    )
