"""Faults of the core that the simulator found, each as the shortest history that shows it."""

from __future__ import annotations

from tests.histories.blueprints import arc, plan, step
from tests.histories.builder import history


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
