"""An execution begins, its steps follow one another in the promised order, and it ends."""

from __future__ import annotations

from noetl_stream.core.events import (
    BlockId,
    BlockOffered,
    ExecutionEnded,
    ExecutionStarted,
    StepEntered,
    StepFinished,
    Target,
)
from noetl_stream.core.messages import NotifyParent, Offer, Reply
from noetl_stream.core.values import Error
from noetl_stream.errors import ExpressionError
from tests.histories.blueprints import arc, chain, plan, router, seen, step
from tests.histories.builder import EXECUTION, history, waiting_parent


def test_a_request_starts_its_entry_step_in_one_decision() -> None:
    log = history(chain("extract", "load")).requested({"day": "monday"})

    assert log.decided() == (
        ExecutionStarted(workload={"day": "monday"}, entry="extract"),
        StepEntered(step="extract", epoch=0),
        BlockOffered(block=BlockId("extract", 0, 0), attempt=0, segment=0),
    )


def test_a_block_that_ends_finishes_its_step_and_enters_the_next() -> None:
    log = history(chain("extract", "load")).requested().completed("extract", 7)

    assert log.decided() == (
        StepFinished(step="extract", epoch=0, status="done", targets=(Target(step="load"),)),
        StepEntered(step="load", epoch=0, via="extract"),
        BlockOffered(block=BlockId("load", 0, 0), attempt=0, segment=0),
    )


def test_the_last_steps_result_is_the_executions() -> None:
    log = history(chain("extract", "load")).requested().completed("extract", 1).completed("load", 2)

    assert log.decided()[-1] == ExecutionEnded(status="COMPLETED", result=2)


def test_a_parent_may_name_the_step_whose_result_it_wants() -> None:
    log = history(chain("extract", "load")).requested(return_step="extract")

    log.completed("extract", 1).completed("load", 2).settled()

    assert log.result == 1


def test_a_named_step_that_did_not_run_gives_null() -> None:
    log = history(chain("extract")).requested(return_step="elsewhere").completed("extract", 1).settled()

    assert (log.status, log.result) == ("COMPLETED", None)


def test_at_completion_the_set_comes_before_the_arcs_and_the_chosen_arcs_set_before_the_input() -> None:
    order: list[str] = []

    def told(what: str, value: object) -> object:
        order.append(what)
        return value

    blueprint = plan(
        step(
            "first",
            arc(
                "second",
                when=lambda s: told("when", s["ctx"]["a"] == seen(s["first"])),
                writes=lambda s: told("arc's set", {"ctx.b": s["ctx"]["a"] + 1}),
                args=lambda s: told("input", {"sum": s["ctx"]["a"] + s["ctx"]["b"]}),
            ),
            writes=lambda s: told("set", {"ctx.a": seen(s["result"])}),
        ),
        step("second"),
    )
    log = history(blueprint).requested().completed("first", 10)
    order.clear()

    finished, entered, _ = log.decided()

    assert order == ["set", "when", "arc's set", "input"]
    assert finished.writes == {"ctx.a": 10, "ctx.b": 11}  # type: ignore[union-attr]
    assert entered.args == {"sum": 21}  # type: ignore[union-attr]
    log.settled()
    assert log.ctx == {"a": 10, "b": 11}


def test_a_blocks_own_writes_count_before_its_steps_set_reads_them() -> None:
    blueprint = plan(
        step("count", writes=lambda s: {"ctx.twice": s["ctx"]["n"] * 2, "ctx.note": s["step"]["note"]})
    )

    log = history(blueprint).requested().completed("count", writes={"ctx.n": 4, "step.note": "x"}).settled()

    assert log.ctx == {"n": 4, "twice": 8, "note": "x"}


def test_only_ctx_outlives_a_step() -> None:
    blueprint = plan(step("count", writes=lambda s: {"ctx.a": 1, "step.b": 2, "c": 3}))

    assert history(blueprint).requested().completed("count").settled().ctx == {"a": 1}


def test_a_steps_private_variables_end_with_it() -> None:
    blueprint = plan(
        step("first", "second"),
        step("second", writes=lambda s: {"ctx.left": dict(s["step"]), "ctx.item": dict(s["iter"])}),
    )

    log = history(blueprint).requested().completed("first", writes={"step.a": 1, "iter.b": 2})
    log.completed("second").settled()

    assert log.ctx == {"left": {}, "item": {}}


def test_a_router_is_decided_without_a_block() -> None:
    blueprint = plan(router("choose", arc("load")), step("load"))
    log = history(blueprint).requested()

    assert log.entered() == ["choose", "load"]
    assert [offer.block.step for offer in log.messages(Offer)] == ["load"]


def test_a_routers_name_shadows_no_input() -> None:
    """A step without a result shadows nothing (dsl: names)."""
    blueprint = plan(
        router("region", "load"),
        step("load", writes=lambda s: {"ctx.region": seen(s["region"])}),
    )
    log = history(blueprint).requested({"region": "north"}).completed("load").settled()

    assert log.ctx == {"region": "north"}


def test_inputs_that_cannot_be_rendered_end_the_execution_before_it_began() -> None:
    def broken(scope: object) -> object:
        raise ExpressionError("no such filter", text="{{ x | y }}", place="workload.x")

    log = history(plan(step("extract"), workload=broken)).requested()

    assert log.decided() == (
        ExecutionEnded(
            status="FAILED",
            error=Error(
                kind="validation",
                message="workload.x: no such filter in `{{ x | y }}`",
                place="workload.x",
            ),
        ),
    )


def test_whoever_asked_is_answered_and_a_waiting_parent_told() -> None:
    parent = waiting_parent()
    log = history(chain("extract")).requested(reply_to="answers", correlation="c-1", parent=parent)

    log.completed("extract", 3).settled()

    assert log.sent[-2:] == [
        NotifyParent(parent=parent, child=EXECUTION, status="COMPLETED", result=3),
        Reply(
            execution=EXECUTION,
            reply_to="answers",
            path="tests/plan",
            version=1,
            status="COMPLETED",
            correlation="c-1",
            result=3,
        ),
    ]


def test_admission_denied_skips_the_step_and_its_token_ends() -> None:
    blueprint = plan(step("extract", "load", admit=lambda s: s["workload"]["open"]), step("load"))

    log = history(blueprint).requested({"open": False}).settled()

    assert (log.status, log.entered()) == ("COMPLETED", ["extract"])
    assert log.execution.finished["extract"].status == "skipped"
    assert "extract" not in log.execution.results


def test_admission_granted_changes_nothing() -> None:
    log = history(plan(step("extract", admit=lambda s: s["workload"]["open"]))).requested({"open": True})

    assert log.running() == ["extract"]


def test_a_step_sees_the_result_and_the_error_that_led_to_it() -> None:
    blueprint = plan(
        step("extract", arc("mend", on="error")),
        step("mend", admit=lambda s: s["error"]["kind"] == "server_error" and seen(s["result"]) == "half"),
    )

    assert history(blueprint).requested().failed("extract", result="half").running() == ["mend"]
