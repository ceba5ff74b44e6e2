"""Every life that a block, a step and an execution can have: a corpus for the laws and for the table's coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noetl_stream.core.block import IN_FLIGHT, OFFER_TIMEOUT, BlockStatus
from noetl_stream.core.events import ITEMS, ROUTE, PartitionTaken, StepFinished, Target
from noetl_stream.core.finishing import routed
from noetl_stream.core.plan import Scope
from noetl_stream.core.values import NeedsPayload, Ref, Value
from tests.histories.blueprints import arc, chain, diamond, loop, plan, router, seen, step
from tests.histories.builder import History, history

BIG = Ref(uri="s3://cache/big", bytes=10**6, sha256="00", format="json", parts={"count": 3})


def _payload(scope: Scope) -> Value:
    raise NeedsPayload("rows")


def _straight() -> History:
    log = history(chain("extract", "load")).requested({"day": 1}, reply_to="answers")
    return log.completed("extract", {"rows": 2}, writes={"ctx.n": 2}).completed("load").settled()


def _claimed() -> History:
    log = history(chain("work")).requested().claimed("work").later(10.0).claimed("work").later(30.0).settled()
    return log.claimed("work").completed("work", "slow").settled()


def _claimed_then_failed() -> History:
    log = history(chain("work")).requested().claimed("work").failed("work", retry=1.0).later(1.0)
    return log.claimed("work").failed("work").settled()


def _claimed_then_parked() -> History:
    log = history(chain("work")).requested().claimed("work").slept("work", 5.0).later(5.0)
    return log.claimed("work").called("work").child_ended("work", result=1).completed("work").settled()


def _contested() -> History:
    log = (
        history(chain("pay", "last", "slow", "more")).requested().contested("pay").claimed("pay", lease=90.0)
    )
    log.completed("pay").claimed("last").contested("last").failed("last", retry=1.0).later(1.0)
    log.contested("last").slept("last", 1.0).later(1.0).completed("last")
    log.contested("slow").called("slow").child_ended("slow", result=1).contested("slow").completed("slow")
    return log.contested("more").failed("more").settled()


def _lost() -> History:
    blueprint = plan(step("each", loop=loop(2, limit=2, parallel=True, on_error="continue")))
    log = history(blueprint).requested().contested("each", within=5.0).later(5.0).settled()
    return log.completed("each", iteration=1).settled()


def _unanswered() -> History:
    log = history(chain("work")).requested().settled().later(OFFER_TIMEOUT)
    return log.completed("work").settled()


def _retried() -> History:
    log = history(chain("work")).requested().failed("work", retry=2.0, resume=1).later(2.0)
    return log.failed("work", writes={"ctx.why": "broken"}).settled()


def _parked() -> History:
    log = history(chain("work")).requested(deadline=2e9).slept("work", 5.0, writes={"step.x": 1})
    return log.later(5.0).slept("work", 1.0).later(1.0).completed("work").settled()


def _called() -> History:
    log = history(chain("work")).requested().called("work", input={"a": [1]})
    return log.child_ended("work", "FAILED").completed("work").settled()


def _called_in_vain() -> History:
    log = history(chain("work")).requested().called("work", timeout=5.0).settled().later(5.0)
    return log.failed("work").settled()


def _asked() -> History:
    log = history(chain("work")).requested().asked("work", within=9.0)
    return log.answered("yes", log.token("work")).completed("work").settled()


def _asked_in_vain() -> History:
    log = history(chain("work")).requested().claimed("work").asked("work", within=9.0).later(9.0)
    return log.completed("work").settled()


def _answered_early() -> History:
    """From everywhere where a run may yet park."""
    log = history(chain("offered", "claimed", "contested")).requested()
    log.answered(1, log.token("offered")).asked("offered").completed("offered")
    log.claimed("claimed").answered(2, log.token("claimed")).asked("claimed").completed("claimed")
    log.contested("contested").answered(3, log.token("contested")).asked("contested")
    return log.contested("contested").asked("contested").stopped("contested").settled()


def _branching() -> History:
    log = history(diamond()).requested().completed("start").failed("left", retry=1.0).completed("right")
    return log.later(1.0).completed("left").completed("end", 1).settled()


def _failing() -> History:
    blueprint = plan(
        step("a", "b", "c", inclusive=True), step("b", arc("c", on="error")), step("c", "d"), step("d")
    )
    return history(blueprint).requested().completed("a").failed("b").completed("c").failed("d").settled()


def _skipping() -> History:
    blueprint = plan(router("a", "b", "c", inclusive=True), step("b", "c", admit=lambda s: False), step("c"))
    return history(blueprint).requested().completed("c").settled()


def _going_back() -> History:
    again = arc("a", lambda s: s["ctx"]["n"] < 3)
    count = {"writes": lambda s: {"ctx.n": s["ctx"].get("n", 0) + 1}}
    log = history(plan(step("a", "b"), step("b", again, **count))).requested()
    for _ in range(3):
        log.completed("a").completed("b")
    return log.settled()


def _looping() -> History:
    log = history(plan(step("each", "last", loop=loop([1, 2, 3])), step("last"))).requested()
    return log.each("each").completed("last").settled()


def _looping_in_parallel() -> History:
    blueprint = plan(step("each", loop=loop(5, limit=3, parallel=True, on_error="continue")))
    log = history(blueprint).requested().completed("each", iteration=2, writes={"ctx.a": 2})
    log.failed("each", iteration=0).claimed("each", iteration=1).failed("each", retry=1.0, iteration=3)
    return log.later(1.0).each("each")


def _looping_long() -> History:
    return history(plan(step("each", loop=loop(1_001, limit=9, parallel=True)))).requested().each("each")


def _bringing() -> History:
    blueprint = plan(step("each", arc("last", _payload), loop=loop(BIG)), step("last"))
    return (
        history(blueprint)
        .requested()
        .completed("each", {"items": BIG, "total": 2}, iteration=ITEMS)
        .each("each")
    )


def _routing() -> History:
    log = history(plan(step("load", arc("last", _payload)), step("last"))).requested().completed("load", BIG)
    end = StepFinished(step="load", epoch=0, status="done", targets=(Target(step="last", args={"a": 1}),))
    return log.completed("load", routed(end), iteration=ROUTE).completed("last").settled()


def _cancelled() -> History:
    log = history(diamond()).requested().completed("start").called("left").settled().cancelled("enough")
    return log.settled()


def _cancelled_early() -> History:
    return history(chain("a")).cancelled().requested().settled()


def _late() -> History:
    return history(chain("a")).requested(deadline=1.7e9 + 5.0).settled().later(5.0).settled()


def _taken_over() -> History:
    log = history(chain("a", "b")).requested()
    former = log.decision(log.decided())
    log.fold(PartitionTaken(owner="other", time=log.now), machine=0).fold(former)
    return log.completed("a", 1).completed("b", 2).settled()


def _queueing() -> History:
    blueprint = plan(
        step("start", "work", "slow", inclusive=True),
        step("work", admit=lambda s: seen(s.get("slow")) != "skip"),
        step("slow", "work"),
    )
    log = history(blueprint).requested().completed("start").completed("slow").completed("work")
    return log.completed("work").settled()


def _into(status: BlockStatus) -> History:
    """A block that stands so."""
    log = history(chain("work", "after")).requested().settled()
    match status:
        case "claimed":
            return log.claimed("work")
        case "contested":
            return log.contested("work")
        case "waiting":
            return log.failed("work", retry=60.0)
        case "parked":
            return log.slept("work", 60.0)
        case "calling":
            return log.called("work")
        case "started":
            return log.called("work").settled()
        case "asking":
            return log.asked("work", within=60.0)
        case "ready":
            return log.called("work").child_ended("work")
        case _:
            return log


def _stopped() -> History:
    """From everywhere, one history after the other; the last is returned."""
    for status in IN_FLIGHT:
        log = _into(status).stopped("work").settled()
    return log


def _rerun() -> History:
    for status in IN_FLIGHT:
        log = _into(status).rerun("work").completed("work").completed("after").settled()
    return log


def _barred() -> History:
    blueprint = plan(step("each", loop=loop(4, on_error="continue")))
    log = history(blueprint).requested().settled().stopped("each", iteration=2)
    return log.completed("each").rerun("each", iteration=2).each("each")


def _reopened() -> History:
    blueprint = plan(step("each", loop=loop(4, limit=2, parallel=True)))
    log = history(blueprint).requested().failed("each", iteration=1).rerun("each", iteration=1)
    return log.each("each")


LIVES: Mapping[str, Callable[[], History]] = {
    life.__name__.strip("_"): life
    for life in (
        _straight,
        _claimed,
        _claimed_then_failed,
        _claimed_then_parked,
        _contested,
        _lost,
        _unanswered,
        _retried,
        _parked,
        _called,
        _called_in_vain,
        _asked,
        _asked_in_vain,
        _answered_early,
        _branching,
        _failing,
        _skipping,
        _going_back,
        _looping,
        _looping_in_parallel,
        _looping_long,
        _bringing,
        _routing,
        _cancelled,
        _cancelled_early,
        _late,
        _taken_over,
        _queueing,
        _stopped,
        _rerun,
        _barred,
        _reopened,
    )
}
"""By name. All but `bringing`, which ends while it asks where to go, run to their end."""
