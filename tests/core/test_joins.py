"""A step with several upstream steps waits for all that can still come, then runs once."""

from __future__ import annotations

import pytest

from noetl_stream.core.events import BlockId
from noetl_stream.core.plan import Plan
from tests.histories.blueprints import arc, diamond, plan, router, seen, step
from tests.histories.builder import history


def test_a_join_waits_for_both_sides_and_runs_once() -> None:
    log = history(diamond()).requested().completed("start").completed("right")

    assert log.running() == ["left"]

    log.completed("left")

    assert log.running() == ["end"]
    assert log.completed("end").entered() == ["start", "left", "right", "end"]


def test_a_join_is_led_to_by_whoever_came_last() -> None:
    log = history(diamond()).requested().completed("start").completed("right").completed("left")

    assert log.offer("end").via == "left"


def test_a_join_does_not_wait_for_an_arm_that_was_not_chosen() -> None:
    blueprint = plan(
        step("start", arc("left", lambda s: True), arc("right", lambda s: True)),
        step("left", "end"),
        step("right", "end"),
        step("end"),
    )

    assert history(blueprint).requested().completed("start").completed("left").running() == ["end"]


def test_a_join_does_not_wait_for_an_arm_that_was_skipped() -> None:
    blueprint = plan(
        step("start", "left", "right", inclusive=True),
        step("left", "end", admit=lambda s: False),
        step("right", "end"),
        step("end"),
    )

    assert history(blueprint).requested().completed("start").completed("right").running() == ["end"]


def test_a_join_whose_every_arm_ends_elsewhere_never_runs() -> None:
    blueprint = plan(
        step("start", "left", "right", inclusive=True),
        step("left", arc("end", lambda s: False)),
        step("right", arc("end", lambda s: False)),
        step("end"),
    )

    log = history(blueprint).requested().completed("start").completed("left").completed("right").settled()

    assert (log.status, log.entered()) == ("COMPLETED", ["start", "left", "right"])


def test_a_join_waits_for_an_arm_that_failed_and_is_being_mended() -> None:
    blueprint = plan(
        step("start", "left", "right", inclusive=True),
        step("left", arc("mend", on="error"), arc("end")),
        step("right", "end"),
        step("mend", "end"),
        step("end"),
    )
    log = history(blueprint).requested().completed("start").failed("left").completed("right")

    assert log.running() == ["mend"]
    assert log.completed("mend").running() == ["end"]


def test_a_join_waits_for_a_long_arm_through_its_whole_length() -> None:
    blueprint = plan(
        step("start", "short", "long", inclusive=True),
        step("long", "longer"),
        step("longer", "longest"),
        step("longest", "end"),
        step("short", "end"),
        step("end"),
    )
    log = history(blueprint).requested().completed("start").completed("short")

    for arm in ("long", "longer", "longest"):
        assert log.running() == [arm]
        log.completed(arm)
    assert log.running() == ["end"]


def diamond_of_diamonds() -> Plan:
    return plan(
        step("start", "a", "b", inclusive=True),
        step("a", "a1", "a2", inclusive=True),
        step("b", "b1", "b2", inclusive=True),
        step("a1", "ja"),
        step("a2", "ja"),
        step("b1", "jb"),
        step("b2", "jb"),
        step("ja", "end"),
        step("jb", "end"),
        step("end"),
    )


@pytest.mark.parametrize("late", ["a1", "a2", "b1", "b2"])
def test_in_a_diamond_of_diamonds_the_last_arm_holds_everything_behind_it(late: str) -> None:
    log = history(diamond_of_diamonds()).requested()
    for name in ("start", "a", "b", *(arm for arm in ("a1", "a2", "b1", "b2") if arm != late)):
        log.completed(name)
    other = "jb" if late.startswith("a") else "ja"
    log.completed(other)

    assert log.running() == [late]

    mine = "ja" if other == "jb" else "jb"
    log.completed(late).completed(mine)

    assert log.running() == ["end"]
    assert sorted(log.completed("end").entered()) == sorted(log.plan.steps)


def test_two_joins_in_a_row_each_run_once() -> None:
    blueprint = plan(
        step("start", "a", "b", "c", inclusive=True),
        step("a", "first"),
        step("b", "first"),
        step("first", "second"),
        step("c", "second"),
        step("second"),
    )
    log = history(blueprint).requested().completed("start").completed("c").completed("a")

    assert log.running() == ["b"]

    log.completed("b")

    assert log.running() == ["first"]
    assert log.completed("first").running() == ["second"]


def test_an_arc_back_is_no_upstream() -> None:
    blueprint = plan(step("start"), step("work", arc("start", lambda s: False)), step("end"))

    assert blueprint.upstream["start"] == frozenset()


def cycle() -> Plan:
    """start → left, right → end → start, until it has run three times."""
    return plan(
        router("start", "left", "right", inclusive=True),
        step("left", "end"),
        step("right", "end"),
        step(
            "end",
            arc("start", lambda s: s["ctx"]["n"] < 3),
            writes=lambda s: {"ctx.n": s["ctx"].get("n", 0) + 1},
        ),
    )


def test_a_join_inside_a_cycle_waits_again_in_each_epoch() -> None:
    log = history(cycle()).requested()

    for epoch in range(3):
        log.completed("right")
        assert log.running() == ["left"]
        log.completed("left")
        assert log.running() == ["end"]
        assert BlockId("end", epoch, 0) in log.execution.blocks
        log.completed("end")
    log.settled()

    assert (log.status, log.ctx["n"]) == ("COMPLETED", 3)
    assert log.entered().count("end") == 3


def test_an_arm_of_an_earlier_epoch_neither_holds_up_nor_answers_for_this_one() -> None:
    """The second round takes one arm only; the other one's earlier end is no reason to wait, nor to run twice."""
    blueprint = plan(
        step("start", arc("left"), arc("right", lambda s: not s["ctx"].get("again")), inclusive=True),
        step("left", "end"),
        step("right", "end"),
        step("end", arc("start", lambda s: seen(s["result"])), writes=lambda s: {"ctx.again": True}),
    )
    log = history(blueprint).requested().completed("start").completed("left").completed("right")

    log.completed("end", True).completed("start")

    assert log.running() == ["left"]

    log.completed("left").completed("end", False).settled()

    assert (log.status, log.entered().count("end")) == ("COMPLETED", 2)


def test_a_join_for_any_runs_at_the_first_arrival() -> None:
    log = history(diamond(join="any")).requested().completed("start").completed("right")

    assert log.running() == ["left", "end"]


def test_a_quorum_runs_at_its_nth_arrival_and_late_tokens_hold_up_nobody() -> None:
    blueprint = plan(
        step("start", "a", "b", "c", inclusive=True),
        step("a", "end"),
        step("b", "end"),
        step("c", "end"),
        step("end", join=2),
    )
    log = history(blueprint).requested().completed("start").completed("a")

    assert log.running() == ["b", "c"]
    assert log.completed("b").running() == ["c", "end"]

    log.completed("c").completed("end").settled()

    assert log.status == "COMPLETED"


def test_a_quorum_that_can_no_longer_be_met_runs_with_those_who_came() -> None:
    blueprint = plan(
        step("start", arc("a"), arc("b"), arc("c", lambda s: False), inclusive=True),
        step("a", "end"),
        step("b", arc("end", lambda s: False)),
        step("c", "end"),
        step("end", join=2),
    )
    log = history(blueprint).requested().completed("start").completed("a").completed("b")

    assert log.running() == ["end"]
    assert log.completed("end").settled().status == "COMPLETED"


def test_after_an_arc_back_a_quorum_counts_afresh() -> None:
    blueprint = plan(
        step("start", "a", "b", "c", inclusive=True),
        step("a", "end"),
        step("b", "end"),
        step("c", "end"),
        step("end", arc("start", lambda s: seen(s["result"])), join=2),
    )
    log = history(blueprint).requested().completed("start").completed("a").completed("b").completed("c")

    log.completed("end", True).completed("start").completed("c")

    assert log.running() == ["a", "b"]
    assert log.completed("a").running() == ["b", "end"]


def test_a_late_token_holds_up_no_join_behind_its_own() -> None:
    blueprint = plan(
        step("start", "a", "b", "far", inclusive=True),
        step("a", "first"),
        step("b", "first"),
        step("far", "second"),
        step("first", "second", join="any"),
        step("second"),
    )
    log = history(blueprint).requested().completed("start").completed("a").completed("first").completed("b")

    log.completed("far").completed("second").settled()

    assert (log.status, log.entered().count("first")) == ("COMPLETED", 1)


def test_a_token_for_a_step_that_runs_waits_for_its_turn() -> None:
    blueprint = plan(
        step("start", "work", "slow", inclusive=True),
        step("work"),
        step("slow", "work"),
    )
    log = history(blueprint).requested().completed("start").completed("slow")

    assert log.running() == ["work"]
    assert [token.via for token in log.execution.tokens["work"]] == ["slow"]

    log.completed("work", 1)

    assert BlockId("work", 1, 0) in log.settled().execution.blocks
    log.completed("work", 2).settled()
    assert (log.status, log.result) == ("COMPLETED", 2)


def test_several_tokens_for_one_step_enter_one_by_one() -> None:
    blueprint = plan(
        step("start", "work", "slow", "slower", inclusive=True),
        step("work"),
        step("slow", "work"),
        step("slower", "work"),
    )
    log = history(blueprint).requested().completed("start").completed("slow").completed("slower")

    for result in range(3):
        log.completed("work", result)
    log.settled()

    assert (log.status, log.result, log.entered().count("work")) == ("COMPLETED", 2, 3)


def test_an_arm_that_goes_in_circles_of_its_own_is_an_arrival_like_any_other() -> None:
    """Only each step's last run is known, so that its token cannot be told to be late: the join runs for it."""
    blueprint = plan(
        step("start", "quick", "a", inclusive=True),
        step("quick", "end"),
        step("a", "b"),
        step("b", arc("a", lambda s: seen(s["result"])), arc("end")),
        step("end", join="any"),
    )
    log = history(blueprint).requested().completed("start").completed("quick").completed("end")

    log.completed("a").completed("b", True).completed("a").completed("b", False)

    assert log.running() == ["end"]
    assert log.completed("end").settled().status == "COMPLETED"
