"""Scenarios that once broke the design (reliability), told of workers and the block topic."""

from __future__ import annotations

from noetl_stream.core.events import BlockLost, BlockOffered, BlockParked
from noetl_stream.core.plan import Loop
from tests.simulation.scripts import NAP, Script
from tests.simulation.sketches import Sketch, assemble, constant
from tests.simulation.stage import Stage, line
from tests.simulation.worker import DEADLINE, LEASE, key_of


def place(stage: Stage) -> int:
    """The block partition of the only offer so far."""
    return next(p for p, offers in enumerate(stage.world.blocks.offers) if offers)


def assign(stage: Stage, worker: int) -> None:
    """All block partitions go to one worker; everybody hears of it."""
    blocks = stage.world.blocks
    blocks.generation, blocks.owners = blocks.generation + 1, [worker] * len(blocks.owners)
    for each in stage.workers:
        each.learn()


def test_an_offer_seen_again_while_it_runs_survives_a_crash() -> None:
    """On a join a member is handed its own running records again: they end with the run, and only with it."""
    stage = Stage(line(Script())).request().give_to_one().advance_one()
    assign(stage, 0)
    stage.workers[0].poll()
    assign(stage, 0)
    stage.workers[0].poll()

    stage.workers[0].crash()

    assert stage.world.blocks.committed[place(stage)] == 0
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_an_offer_redelivered_to_its_own_worker_joins_the_run() -> None:
    stage = Stage(line(Script())).request().give_to_one().advance_one()
    assign(stage, 0)
    stage.workers[0].poll()

    assign(stage, 0)
    stage.workers[0].poll()

    assert (len(stage.workers[0].runs), stage.world.runs) == (1, 1)
    assert (stage.finish(), stage.world.runs) == ([], 1)


def test_a_long_block_at_the_head_of_a_partition_holds_nothing_back_while_a_worker_joins() -> None:
    stage = Stage(line(Script(kind="long"))).request().give_to_one().advance_one()
    assign(stage, 0)
    stage.workers[0].poll()
    stage.workers[0].advance(next(iter(stage.workers[0].runs.values())))

    assign(stage, 1)
    stage.workers[1].poll()

    assert stage.world.blocks.committed[place(stage)] == 1
    assert (stage.world.runs, stage.finish(), stage.world.runs) == (1, [], 1)


def test_a_detached_block_whose_worker_died_is_offered_again_when_its_lease_has_passed() -> None:
    stage = Stage(line(Script(kind="long"))).request().give_to_one().advance_one()
    assign(stage, 0)
    stage.workers[0].poll()
    stage.workers[0].advance(next(iter(stage.workers[0].runs.values())))
    stage.workers[0].crash()

    stage.advance_one().later(LEASE + 1.0).advance_one()

    offered = [move for move in stage.moves() if isinstance(move, BlockOffered)]
    assert [(move.attempt, move.segment) for move in offered] == [(0, 0), (0, 0)]
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_two_parks_of_one_attempt_are_two_and_the_first_counts_once() -> None:
    stage = Stage(line(Script(kind="nap"))).request().give_to_one().advance_one().work(0)
    first = next(r.event for r in stage.world.log if isinstance(r.event, BlockParked))
    stage.advance_one().later(NAP + 1.0).advance_one()

    stage.land(first).work(0).advance_one().later(NAP + 1.0).land(first).advance_one()

    assert [offer.segment for offer in stage.offers()] == [0, 1, 2]
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def test_an_offer_that_finished_before_an_earlier_one_is_not_acknowledged_past_it() -> None:
    loop = Sketch("s0", Script(), loop=Loop(items=constant(4), iterator="it", limit=4, parallel=True))
    stage = Stage(assemble("main", "s0", [loop])).request().give_to_one().advance_one()
    partition, worker = (
        max(enumerate(stage.world.blocks.offers), key=lambda p: len(p[1]))[0],
        stage.workers[0],
    )
    assign(stage, 0)
    for _ in range(20):
        worker.poll()
    second = stage.world.blocks.offers[partition][1]

    while (key := key_of(second)) in worker.runs:
        worker.advance(worker.runs[key])
    worker.crash()

    assert stage.world.blocks.committed[partition] == 0
    assert (stage.finish(), stage.ends()) == ([], ["COMPLETED"])


def paying() -> Stage:
    """One effect that may happen once; its first run has claimed it and stands before its tool."""
    stage = Stage(line(Script(once=True))).request().give_to_one().advance_one()
    assign(stage, 0)
    stage.workers[0].poll()
    stage.workers[0].advance(next(iter(stage.workers[0].runs.values())))
    return stage


def lost(stage: Stage) -> int:
    return sum(isinstance(move, BlockLost) for move in stage.moves())


def test_a_contested_at_most_once_claim_is_the_first_runs_to_answer() -> None:
    stage = paying()
    assign(stage, 1)
    stage.work(1).advance_one().later(DEADLINE - 1.0)

    worker = stage.workers[0]
    while worker.runs:
        worker.advance(next(iter(worker.runs.values())))
    stage.advance_one().later(DEADLINE).advance_one()

    assert (list(stage.world.outside.once.values()), lost(stage), stage.ends()) == ([1], 0, ["COMPLETED"])


def test_an_effect_whose_run_died_is_lost_at_its_deadline_and_never_tried_again() -> None:
    stage = paying()
    stage.workers[0].crash()
    assign(stage, 1)

    stage.work(1).advance_one().later(DEADLINE - 1.0).advance_one()
    assert lost(stage) == 0

    stage.later(1.0).advance_one()
    assert (lost(stage), dict(stage.world.outside.once), stage.ends()) == (1, {}, ["FAILED"])
