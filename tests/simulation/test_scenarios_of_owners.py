"""Scenarios that once broke the design (reliability), told of two orchestrators and one log."""

from __future__ import annotations

from noetl_stream.core.events import BlockCompleted, BlockId, StepEntered
from noetl_stream.core.messages import Offer, StartChild
from noetl_stream.core.plan import Arc, Plan
from noetl_stream.ids import execution_id
from tests.simulation.checkpoints import Base
from tests.simulation.scripts import Script
from tests.simulation.sketches import Sketch, assemble, by_clock
from tests.simulation.stage import Stage, line


def choice() -> Plan:
    """Which arm is taken depends on the second in which it is decided."""
    arcs = [Arc(target="even", when=by_clock(0)), Arc(target="odd")]
    return assemble(
        "main", "ask", [Sketch("ask", Script(), arcs), Sketch("even", Script()), Sketch("odd", Script())]
    )


def arms(stage: Stage) -> list[str]:
    """The arms that were entered."""
    entered = [move.step for move in stage.moves() if isinstance(move, StepEntered)]
    return [step for step in entered if step != "ask"]


def test_a_cancel_between_an_outcome_and_the_decision_to_fail_wins() -> None:
    stage = Stage(line(Script(fatal=frozenset({0})))).request().give_to_one().advance_one()
    stage.work(0).read(stage.one)
    stage.one.think()

    stage.cancel()
    stage.one.produce()

    assert stage.verdicts()[-1] == "stale"
    assert (stage.finish(), stage.ends()) == ([], ["CANCELLED"])


def test_a_restore_decision_committed_past_but_never_sent_is_sent_by_the_next_owner() -> None:
    stage = Stage(line(Script())).request().give_to_one()
    stage.decide(stage.one).read(stage.one)
    stage.one.commit()
    stage.one.crash()

    stage.give(stage.two)

    assert [type(sending.message) for sending in stage.two.unsent] == [Offer]
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_a_fence_of_the_owners_own_retry_that_overtakes_it_is_taken_back() -> None:
    stage = Stage(line(Script())).request()
    stage.world.group.move(0)
    stage.one.learn()
    stage.world.fates.append("delay")
    stage.one.step()
    stage.give(stage.one).decide(stage.one)

    stage.world.land(stage.world.limbo.pop(), "late")
    stage.read(stage.one)

    assert (stage.one.assigned, stage.one.owner) == (True, None)
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_two_decisions_on_one_state_never_take_both_arms_of_a_choice() -> None:
    stage = Stage(choice()).request().give_to_one().advance_one()
    stage.work(0).read(stage.one)
    stage.decide(stage.one, "delay").later(1.0)

    stage.give(stage.two).decide(stage.two).world.land(stage.world.limbo.pop(), "late")

    assert len(arms(stage)) == 1
    assert stage.finish() == []


def test_a_decision_of_unknown_fate_is_repeated_as_it_was() -> None:
    stage = Stage(choice()).request().give_to_one().advance_one()
    stage.work(0).read(stage.one)

    stage.decide(stage.one, "lost_ack").later(1.0).decide(stage.one)

    first, second = stage.world.log[-2:]
    assert first.event is second.event
    assert stage.verdicts()[-2:] == ["accepted", "duplicate"]
    assert (len(arms(stage)), stage.finish()) == (1, [])


def test_a_decision_that_was_lost_is_repeated_as_it_was() -> None:
    stage = Stage(choice()).request().give_to_one().advance_one()
    stage.work(0).read(stage.one)
    decided_at = stage.world.now

    stage.decide(stage.one, "drop").later(1.0).decide(stage.one)

    assert getattr(stage.world.log[-1].event, "at", None) == decided_at
    assert (len(arms(stage)), stage.finish()) == (1, [])


def test_a_paused_owner_overwrites_no_newer_checkpoint() -> None:
    stage = Stage(line(Script(), Script(), Script())).request().give_to_one().advance_one()
    stage
    stage.begin_checkpoint(stage.one)
    stage.give(stage.two).work(0).advance(stage.two).checkpoint(stage.two)
    newest = Base.of(stage.world.shelf.saved())

    stage.checkpoint(stage.one)

    assert Base.of(stage.world.shelf.saved()).ahead == newest.ahead
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_a_former_owner_stopped_and_resumed_appends_in_vain() -> None:
    stage = Stage(line(Script())).request().give_to_one()
    stage.one.think()
    stage.give(stage.two).decide(stage.two)

    stage.one.produce()
    stage.read(stage.one)

    assert stage.verdicts() == ["accepted", "stale"]
    assert (stage.one.assigned, stage.finish()) == (False, [])


def test_two_causes_folded_in_one_poll_after_a_crash_are_one_decision() -> None:
    fork = Sketch("fork", None, [Arc(target="left"), Arc(target="right")], inclusive=True)
    arms_ = [Sketch(name, Script(), [Arc(target="end")]) for name in ("left", "right")]
    stage = (
        Stage(assemble("main", "fork", [fork, *arms_, Sketch("end", Script())]))
        .request()
        .give_to_one()
        .advance_one()
    )
    stage.work(0).work(1).work(0)
    stage.one.crash()

    stage.give(stage.two).advance(stage.two)

    assert stage.verdicts() == ["accepted", "accepted"]
    assert [m.step for m in stage.moves() if isinstance(m, StepEntered)].count("end") == 1
    assert stage.finish() == []


def test_a_request_redelivered_after_its_execution_completed_is_answered_from_the_log() -> None:
    stage = Stage(line(Script())).request().give_to_one().advance_one()
    stage.work(0).advance_one()

    stage.request().advance_one()

    assert stage.world.outside.replies[stage.x] == ["COMPLETED", "COMPLETED"]
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_of_two_terminal_events_the_first_stands() -> None:
    stage = Stage(line(Script())).request().give_to_one().advance_one()
    stage.work(0).read(stage.one).decide(stage.one, "delay")

    stage.give(stage.two).decide(stage.two).world.land(stage.world.limbo.pop(), "late")

    assert stage.ends() == ["COMPLETED"]
    assert (stage.verdicts()[-1], stage.finish()) == ("stale", [])


def test_a_cancel_that_overtakes_its_childs_start_ends_the_child_before_it_began() -> None:
    stage = (
        Stage(line(Script(kind="child", child="child")), child=line(Script()))
        .request()
        .give_to_one()
        .advance_one()
    )
    stage.work(0).read(stage.one).decide(stage.one)
    stage.cancel().read(stage.one).decide(stage.one)
    start = next(s.message for s in stage.one.unsent if isinstance(s.message, StartChild))

    stage.send_last(start)

    child = execution_id(bytes.fromhex(start.child.identity))
    assert (stage.finish(), stage.ends()) == ([], ["CANCELLED", "CANCELLED"])
    assert child not in {offer.execution for offer in stage.offers()}


def test_an_outcome_folded_before_its_offers_decision_is_from_another_life() -> None:
    stage = Stage(line(Script())).request()
    early = BlockCompleted(
        block=BlockId("s0", 0, 0), attempt=0, segment=0, run="none", result="early", time=0.0
    )

    stage.land(early).give_to_one().advance_one()

    assert len(stage.offers()) == 1
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])
