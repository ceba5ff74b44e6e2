"""Which way tokens go when a step is done, and when it has failed."""

from __future__ import annotations

import pytest

from noetl_stream.core.values import Error
from noetl_stream.errors import ExpressionError
from tests.histories.blueprints import arc, loop, plan, seen, step
from tests.histories.builder import BROKEN, history


def yes(scope: object) -> bool:
    return True


def no(scope: object) -> bool:
    return False


def broken(scope: object) -> object:
    raise ExpressionError("division by zero", text="{{ 1 / 0 }}", place="step 'first'")


def test_exclusive_arcs_take_the_first_that_matches() -> None:
    blueprint = plan(
        step("first", arc("a", no), arc("b", yes), arc("c", yes)), step("a"), step("b"), step("c")
    )

    assert history(blueprint).requested().completed("first").running() == ["b"]


def test_an_arc_after_the_first_match_is_not_even_evaluated() -> None:
    blueprint = plan(step("first", arc("a", yes), arc("b", broken)), step("a"), step("b"))

    assert history(blueprint).requested().completed("first").running() == ["a"]


def test_inclusive_arcs_take_all_that_match() -> None:
    blueprint = plan(
        step("first", arc("a", yes), arc("b", no), arc("c"), inclusive=True), step("a"), step("b"), step("c")
    )

    assert history(blueprint).requested().completed("first").running() == ["a", "c"]


def test_two_arcs_to_one_target_send_one_token() -> None:
    blueprint = plan(step("first", arc("a", yes), arc("a", yes), inclusive=True), step("a"))

    assert history(blueprint).requested().completed("first").completed("a").entered() == ["first", "a"]


@pytest.mark.parametrize("policy", ["complete", "quiet"])
def test_without_a_match_the_token_ends(policy: str) -> None:
    blueprint = plan(step("first", arc("a", no), on_no_match=policy), step("a"))

    log = history(blueprint).requested().completed("first", 1).settled()

    assert (log.status, log.result) == ("COMPLETED", 1)


def test_a_step_may_ask_to_fail_where_no_arc_matches() -> None:
    blueprint = plan(step("first", arc("a", no), on_no_match="fail"), step("a"))

    log = history(blueprint).requested().completed("first").settled()

    assert (log.status, log.error) == (
        "FAILED",
        Error(kind="validation", message="no arc of step 'first' matches", step="first"),
    )


def test_a_step_without_arcs_has_nothing_to_match() -> None:
    assert history(plan(step("first", on_no_match="fail"))).requested().completed(
        "first"
    ).settled().status == ("COMPLETED")


def test_a_failed_step_takes_only_arcs_for_failures() -> None:
    blueprint = plan(
        step("first", arc("a"), arc("b", yes), arc("mend", on="error")), step("a"), step("b"), step("mend")
    )

    assert history(blueprint).requested().failed("first").running() == ["mend"]


def test_a_failed_step_takes_arcs_that_read_the_events_name_in_either_spelling() -> None:
    blueprint = plan(
        step("first", arc("a"), arc("mend", lambda s: s["event"]["name"] == "call.error", reads_event=True)),
        step("a"),
        step("mend"),
    )

    assert history(blueprint).requested().failed("first").running() == ["mend"]


def test_a_step_that_is_done_takes_no_arc_for_failures() -> None:
    blueprint = plan(step("first", arc("mend", on="error"), arc("a")), step("mend"), step("a"))

    assert history(blueprint).requested().completed("first").running() == ["a"]


def test_an_arc_of_a_failed_step_reads_its_error_and_what_it_still_returned() -> None:
    blueprint = plan(
        step(
            "first",
            arc(
                "mend",
                on="error",
                args=lambda s: {"kind": s["output"].fields["error"]["kind"], "body": seen(s["first"])},
            ),
        ),
        step("mend"),
    )

    log = history(blueprint).requested().failed("first", result={"code": 7})

    assert log.offer("mend").args == {"kind": "server_error", "body": {"code": 7}}


def test_a_failed_steps_set_is_not_written() -> None:
    blueprint = plan(step("first", arc("mend", on="error"), writes=lambda s: {"ctx.x": 1}), step("mend"))

    log = history(blueprint).requested().failed("first").completed("mend").settled()

    assert (log.status, log.ctx) == ("COMPLETED", {})


def test_a_failure_nobody_takes_fails_the_execution_with_that_steps_error() -> None:
    log = history(plan(step("first", "a"), step("a"))).requested().failed("first").settled()

    assert log.status == "FAILED"
    assert log.error is not None
    assert (log.error.step, log.error.message) == ("first", BROKEN.message)


def test_running_siblings_finish_before_the_execution_fails() -> None:
    blueprint = plan(step("first", "a", "b", inclusive=True), step("a", "c"), step("b"), step("c"))
    log = history(blueprint).requested().completed("first").failed("b")

    assert log.running() == ["a"]
    assert log.status == "running"

    log.completed("a").settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "b")
    assert log.entered() == ["first", "a", "b"]


def test_the_first_failure_is_the_one_reported() -> None:
    blueprint = plan(step("first", "a", "b", inclusive=True), step("a"), step("b"))

    log = history(blueprint).requested().completed("first").failed("b").failed("a").settled()

    assert log.error is not None
    assert log.error.step == "b"


def test_a_failing_loop_starts_no_further_iteration_of_its_siblings() -> None:
    blueprint = plan(
        step("first", "a", "b", inclusive=True), step("a", loop=loop(5, limit=2, parallel=True)), step("b")
    )
    log = history(blueprint).requested().completed("first").failed("b").completed("a", iteration=1)

    assert log.running() == ["a[0]"]

    log.completed("a").settled()

    assert log.status == "FAILED"


@pytest.mark.parametrize(
    "first",
    [
        step("first", "a", writes=broken),
        step("first", arc("a", broken)),
        step("first", arc("a", writes=broken)),
        step("first", arc("a", args=broken)),
    ],
    ids=["set", "when", "arc's set", "input"],
)
def test_an_expression_that_fails_at_the_end_of_a_step_fails_the_step(first: object) -> None:
    log = history(plan(first, step("a"))).requested().completed("first", 1).settled()  # type: ignore[arg-type]

    assert log.status == "FAILED"
    assert log.error is not None
    assert (log.error.kind, log.error.step, log.error.place) == ("validation", "first", "step 'first'")


def test_a_step_that_fails_by_its_own_set_still_takes_its_arcs_for_failures() -> None:
    blueprint = plan(step("first", arc("mend", on="error"), arc("a"), writes=broken), step("mend"), step("a"))

    assert history(blueprint).requested().completed("first").running() == ["mend"]


def test_a_step_that_cannot_be_entered_still_takes_its_arcs_for_failures() -> None:
    blueprint = plan(step("first", arc("mend", on="error"), loop=loop(None)), step("mend"))

    assert history(blueprint).requested().running() == ["mend"]


def test_an_arc_for_failures_that_fails_itself_ends_the_execution_with_the_steps_error() -> None:
    blueprint = plan(step("first", arc("mend", broken, on="error")), step("mend"))

    log = history(blueprint).requested().failed("first").settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "first")


def test_an_admission_that_fails_fails_the_step() -> None:
    log = history(plan(step("first", admit=broken))).requested().settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "first")
