"""An offer carries what its block reads, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from noetl_stream.core.events import BlockOffered, ExecutionEnded
from noetl_stream.core.messages import Offer
from noetl_stream.core.outbox import ITERATION_BYTES, RESULT_BYTES, STATE_BYTES, outbox
from noetl_stream.core.partition import Folded
from noetl_stream.core.plan import Path
from noetl_stream.core.values import Ref
from tests.histories.blueprints import arc, chain, loop, plan, router, step
from tests.histories.builder import EXECUTION, START, History, history


def offered(*reads: Path, **more: Any) -> Offer:
    """The offer of a step `load` that reads so, after `first` and `second` have run."""
    blueprint = plan(
        step("first", "second"),
        step("second", "load", writes=lambda s: {"ctx.a": 1, "ctx.b": {"deep": 2}, "ctx.shade": "ctx"}),
        step("load", reads=frozenset(reads), **more),
    )
    log = history(blueprint).requested({"day": "monday", "hour": 7, "shade": "workload"})
    return log.completed("first", {"x": 1}).completed("second", "two").offer("load")


def test_a_block_that_reads_nothing_is_sent_nothing() -> None:
    offer = offered()

    assert (offer.workload, offer.ctx, offer.results, offer.steps) == ({}, {}, {}, {})


def test_an_offer_names_its_playbook_and_its_execution() -> None:
    offer = offered(pool="gpu", priority="high")

    assert (offer.execution, offer.path, offer.version, offer.digest) == (EXECUTION, "tests/plan", 1, "d")
    assert (offer.pool, offer.priority, offer.seed, offer.at) == ("gpu", "high", "seed", START)
    assert (offer.via, offer.total, offer.item) == ("second", 1, None)


@pytest.mark.parametrize(
    ("asked", "most", "earlier"), [(None, 60.0, 60.0), (900.0, 60.0, 60.0), (30.0, 60.0, 30.0)]
)
def test_an_offer_has_the_earlier_of_the_requests_and_the_playbooks_deadline(
    asked: float | None, most: float, earlier: float
) -> None:
    log = history(replace(chain("load"), deadline=most))
    log.requested(deadline=None if asked is None else START + asked)

    assert log.offer("load").deadline == START + earlier


def test_a_block_is_sent_one_key_where_it_names_it() -> None:
    offer = offered(("workload", "day"), ("ctx", "b", "deep"), ("workload", "absent"))

    assert (offer.workload, offer.ctx) == ({"day": "monday"}, {"b": {"deep": 2}})


def test_a_block_is_sent_a_whole_layer_where_it_names_none() -> None:
    assert offered(("ctx",)).ctx == {"a": 1, "b": {"deep": 2}, "shade": "ctx"}


def test_a_bare_name_is_looked_up_where_a_template_would() -> None:
    offer = offered(("first",), ("shade",), ("day",), ("nowhere",))

    assert (offer.results, offer.ctx, offer.workload) == (
        {"first": {"x": 1}},
        {"shade": "ctx"},
        {"day": "monday"},
    )


def test_a_block_is_sent_the_envelopes_it_reads() -> None:
    offer = offered(("steps", "first", "status"))

    assert {name: fields["status"] for name, fields in offer.steps.items()} == {"first": "done"}
    assert offer.steps["first"]["data"] == {"x": 1}
    assert set(offered(("steps",)).steps) == {"first", "second"}


def test_a_block_that_reads_the_result_is_sent_that_of_the_step_before() -> None:
    assert offered(("result",)).results == {"second": "two"}
    assert offered(("response", "x")).results == {"second": "two"}


def test_a_block_that_reads_everything_is_sent_everything() -> None:
    offer = offered(("*",))

    assert set(offer.workload) == {"day", "hour", "shade"}
    assert set(offer.ctx) == {"a", "b", "shade"}
    assert set(offer.results) == {"first", "second"}


def test_an_offer_does_not_change_when_the_execution_goes_on() -> None:
    blueprint = plan(step("start", "a", "b", inclusive=True), step("a"), step("b", reads=frozenset({("*",)})))
    log = history(blueprint).requested().completed("start")
    offer = log.offer("b")

    log.completed("a", writes={"ctx.late": 1})

    assert offer.ctx == {}


def test_a_step_without_an_upstream_result_is_sent_none() -> None:
    log = history(plan(step("load", reads=frozenset({("result",)})))).requested()

    assert log.offer("load").results == {}


def test_a_router_hands_on_no_result() -> None:
    log = history(plan(router("choose", "load"), step("load", reads=frozenset({("result",)})))).requested()

    assert (log.offer("load").via, log.offer("load").results) == ("choose", {})


def test_an_offer_after_a_failure_carries_its_error() -> None:
    log = history(plan(step("load", arc("mend", on="error")), step("mend"))).requested().failed("load")

    error = log.offer("mend").error
    assert error is not None
    assert (error.kind, error.step) == ("server_error", "load")


def test_results_stay_inline_up_to_a_limit_that_shrinks_with_the_state() -> None:
    blueprint = plan(
        step("a", "b"), step("b", "c"), step("c", "d"), step("d", "each"), step("each", loop=loop(1))
    )
    log = history(blueprint).requested()

    assert log.offer("a").inline_limit == RESULT_BYTES

    for name in "abc":
        log.completed(name, "x" * (STATE_BYTES // 3))
    assert log.offer("d").inline_limit == ITERATION_BYTES
    assert log.completed("d").offer("each").inline_limit == ITERATION_BYTES


def test_a_reference_weighs_little() -> None:
    log = history(plan(step("a", "b"), step("b"))).requested()

    log.completed("a", Ref(uri="u", bytes=10**9, sha256="", format="arrow"))

    assert log.offer("b").inline_limit == RESULT_BYTES
    assert log.execution.weights == {"a": 202}


def test_an_iterations_offer_carries_its_item_or_where_to_cut_it_from() -> None:
    items = Ref(uri="u", bytes=9, sha256="", format="arrow")
    log = history(plan(step("each", loop=loop(["a", "b"])))).requested()
    assert (log.offer("each").item, log.offer("each").items) == ("a", None)

    by_reference = history(plan(step("each", loop=loop(items)))).requested()
    by_reference.completed("each", {"items": items, "total": 2}, iteration=-1)

    assert (by_reference.offer("each").item, by_reference.offer("each").items) == (None, items)


def started() -> History:
    return history(plan(step("load"))).requested().settled()


def test_an_offer_that_a_later_move_overtook_is_not_sent() -> None:
    log = started()
    both = (BlockOffered(block=next(iter(log.execution.blocks)), attempt=0, segment=0),)

    log.fold(log.decision((*both, ExecutionEnded(status="FAILED"))))

    assert len(log.messages(Offer)) == 1


def test_what_was_not_accepted_sends_nothing() -> None:
    assert outbox(None, Folded(verdict="stale"), 0.0) == ()


def test_moves_that_offer_nothing_need_no_plan() -> None:
    log = started()
    end = ExecutionEnded(status="FAILED")

    assert outbox(None, Folded(verdict="accepted", machine=log.execution, moves=(end,)), 0.0) != ()
