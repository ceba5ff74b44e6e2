"""Faults of the core that the simulator found, each as the shortest history that shows it."""

from __future__ import annotations

from dataclasses import replace

from noetl_stream.core.events import BlockClaimed
from noetl_stream.core.partition import Partition
from noetl_stream.core.snapshot import state_hash
from noetl_stream.orchestrator.checkpointing import Rounds
from noetl_stream.orchestrator.owner import Owner
from tests.histories.blueprints import arc, chain, plan, step
from tests.histories.builder import history
from tests.simulation.checkpoints import Base, Shelf
from tests.simulation.scripts import Script
from tests.simulation.stage import Stage, line


def test_a_join_waits_for_an_arm_that_holds_a_cycle() -> None:
    """The arm's last step has finished once and goes round again: whether the join runs once must not be a race."""
    blueprint = plan(
        step("fork", "quick", "turn", inclusive=True),
        step("quick", "end"),
        step("turn", "back"),
        step(
            "back",
            arc("turn", lambda s: s["ctx"]["rounds"] < 2),
            "end",
            writes=lambda s: {"ctx.rounds": s["ctx"].get("rounds", 0) + 1},
        ),
        step("end"),
    )
    log = history(blueprint).requested().completed("fork").completed("quick").completed("turn")

    log.completed("back").completed("turn")

    assert log.running() == ["back"]

    log.completed("back").completed("end").settled()

    assert (log.status, log.entered().count("end")) == ("COMPLETED", 1)


async def test_a_decision_that_was_in_flight_during_a_round_is_in_the_next() -> None:
    """Its `after` lies before the first round: by offsets alone the machine would look unchanged."""
    log, blueprint = history(chain("extract", "load")).requested(), chain("extract", "load")
    owner, shelf = Owner(fence=0, state=Partition(), position=0, plans=lambda _: blueprint), Shelf()
    rounds = Rounds(0, owner, shelf)
    for offset, logged in enumerate(log.log):
        owner.fold(offset, logged.machine, logged.event, log.now)
    (append,) = owner.appends(log.now)

    await rounds.run()
    owner.landed(append, owner.position, log.now)
    await rounds.run()

    (machine,) = owner.state.machines
    assert owner.state.machines[machine].status == "running"
    assert state_hash(Base.of(shelf.saved()).state.machines[machine]) == state_hash(
        owner.state.machines[machine]
    )


def test_an_offer_decided_before_a_renewed_claim_takes_no_lease_away() -> None:
    """The owner saw the lease run out; the renewal was folded before its decision."""
    log = history(chain("extract", "load")).requested().claimed("extract", lease=10.0).later(11.0)
    claim, offer_again = log.log[-1].event, log.decision(log.decided())
    assert isinstance(claim, BlockClaimed)

    log.fold(replace(claim, renew_by=log.now + 10.0, time=log.now)).fold(offer_again)

    assert log.verdict == "stale"
    assert log.decided() == ()


def test_a_restore_knows_the_time_of_records_that_a_checkpoint_spares_it() -> None:
    """A round that was cut off left the machine's checkpoint ahead of the marker; a lagging clock then went unnoticed."""
    stage = Stage(line(Script(), Script())).request().give_to_one().advance_one()
    stage.checkpoint(stage.one).later(5.0).work(0).read(stage.one).begin_checkpoint(
        stage.one
    ).begin_checkpoint(stage.one)

    stage.give(stage.two)

    assert stage.two.owner is not None
    assert stage.two.owner.state.log_time == stage.state().log_time
