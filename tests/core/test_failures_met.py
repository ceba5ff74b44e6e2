"""What a playbook does when its execution fails, what its result is, and until when it may run."""

from __future__ import annotations

from typing import Any

from noetl_stream.core.plan import Plan
from tests.histories.blueprints import arc, plan, seen, step
from tests.histories.builder import START, history


def rescued(**more: Any) -> Plan:
    return plan(step("load", "after"), step("after"), step("tidy", **more), on_failure="tidy")


def test_a_failing_execution_runs_its_step_for_failures_and_then_fails_with_its_first_error() -> None:
    log = history(rescued()).requested().failed("load")

    assert log.running() == ["tidy"]
    assert log.completed("tidy").settled().status == "FAILED"
    assert log.error is not None
    assert (log.error.step, log.error.kind) == ("load", "server_error")


def test_the_step_for_failures_reads_the_error() -> None:
    told = rescued(writes=lambda s: {"ctx.kind": seen(s["error"])["kind"]})

    assert history(told).requested().failed("load").completed("tidy").settled().ctx == {
        "kind": "server_error"
    }


def test_a_step_for_failures_that_fails_hides_nothing() -> None:
    log = history(rescued()).requested().failed("load").failed("tidy").settled()

    assert (log.status, log.error and log.error.step) == ("FAILED", "load")


def test_an_execution_that_goes_well_has_no_use_for_it() -> None:
    log = history(rescued()).requested().completed("load").completed("after").settled()

    assert (log.status, log.entered()) == ("COMPLETED", ["load", "after"])


def test_an_arc_for_the_error_comes_first() -> None:
    handled = plan(step("load", arc("mend", on="error")), step("mend"), step("tidy"), on_failure="tidy")

    assert history(handled).requested().failed("load").completed("mend").settled().status == "COMPLETED"


def test_no_match_is_a_failure_where_the_step_says_so_and_its_arcs_for_failures_take_it() -> None:
    strict = plan(
        step("load", arc("never", lambda s: False), arc("mend", on="error"), on_no_match="fail"),
        step("never"),
        step("mend"),
    )

    assert history(strict).requested().completed("load").running() == ["mend"]


def test_the_final_steps_result_is_the_executions() -> None:
    finished = plan(step("load", "sum"), step("sum", "tidy"), step("tidy"), final="sum")
    log = (
        history(finished).requested().completed("load").completed("sum", 7).completed("tidy", "ok").settled()
    )

    assert log.result == 7


def test_a_final_step_that_never_ran_leaves_the_last_one_its_place() -> None:
    finished = plan(step("load"), step("sum"), final="sum")

    assert history(finished).requested().completed("load", 1).settled().result == 1


def test_a_playbooks_deadline_counts_from_the_request_and_the_earlier_one_holds() -> None:
    patient = plan(step("load"), deadline=60.0)

    for asked, due in ((None, 60.0), (START + 10.0, 10.0), (START + 90.0, 60.0)):
        log = history(patient).requested(deadline=asked).settled()
        assert log.later(due - 0.1).settled().status == "running"
        assert log.later(0.1).settled().status == "FAILED"
