"""What names mean where `decide` evaluates, in the language's order of precedence."""

from __future__ import annotations

from typing import Any

from noetl_stream.core.names import DRAWN, ENVELOPE, EVENT_NAMES, LAST, UNSHADOWABLE
from noetl_stream.core.plan import Expression
from noetl_stream.core.scope import (
    Envelopes,
    EventName,
    Facts,
    Results,
    _fixed,
    _last,
    bind,
    envelope,
    evaluate,
    names,
)
from noetl_stream.core.values import Envelope, Error, Ref, Result
from tests.histories.blueprints import arc, plan, seen, step
from tests.histories.builder import START, history


def known(**more: Any) -> Facts:
    given: dict[str, Any] = {
        "execution": 7,
        "path": "p",
        "version": 2,
        "seed": "s",
        "at": START,
        "site": "a/0/out",
    }
    return Facts(**(given | more))


def test_an_events_name_equals_its_older_spelling() -> None:
    assert EventName("step.done") == "call.done"
    assert EventName("step.done") == "step.done"
    assert EventName("step.failed") == "call.error"
    assert EventName("step.done") != "call.error"
    assert (EventName("step.done") != "call.done") is False
    assert EventName("loop.done") != "call.done"
    assert len({EventName("step.done"), EventName("step.done")}) == 1


def test_names_are_found_in_the_languages_order() -> None:
    everywhere = {"x": "workload"}
    scope = names(known(workload=everywhere), last={"x": "last"})
    assert scope["x"] == "workload"
    assert names(known(workload=everywhere, ctx={"x": "ctx"}))["x"] == "ctx"
    assert names(known(ctx={"x": "ctx"}, results={"x": "step"}))["x"] == Result("step")
    assert names(known(results={"x": "step"}), iterator={"x": "iterator"})["x"] == "iterator"
    assert names(known(), iterator={"x": "iterator"}, local={"x": "local"})["x"] == "local"
    assert names(known(), local={"output": "local"}, fixed={"output": "fixed"})["output"] == "fixed"


def test_what_cannot_be_shadowed_is_not() -> None:
    scope = names(known(workload={"execution_id": "mine", "ctx": 1, "path": "mine"}, ctx={"a": 1}))

    assert (scope["execution_id"], scope["ctx"], scope["path"]) == ("7", {"a": 1}, "mine")
    assert scope["job"] == {"uuid": "7", "execution_id": "7"}


def test_the_names_of_a_scope_are_those_that_the_language_lists() -> None:
    failed = Error(kind="sql", message="m")
    fixed, last = _fixed(known()), _last(known(via="a", results={"a": 1}, error=failed))

    assert fixed.keys() <= set(UNSHADOWABLE)
    assert last.keys() <= set(LAST)
    assert {name for name, value in fixed.items() if callable(value)} == DRAWN
    assert envelope(1, error=None).fields.keys() <= ENVELOPE
    assert all(EventName(name) == older for older, name in EVENT_NAMES.items())


def test_error_is_undefined_where_none_led_here() -> None:
    assert "error" not in names(known())
    assert names(known(error=Error(kind="sql", message="m", status=500)))["error"] == {
        "kind": "sql",
        "message": "m",
        "retryable": False,
        "status": 500,
        "code": None,
        "step": None,
    }


def test_now_is_the_decisions_own_moment() -> None:
    assert names(known())["now"]().timestamp() == START


def test_tokens_of_one_site_differ_and_are_the_same_on_replay() -> None:
    first = names(known())
    drawn = [first["token"](), first["token"]()]

    assert len(set(drawn)) == 2
    assert [names(known())["token"]()] == drawn[:1]
    assert names(known(seed="other"))["token"]() not in drawn
    assert names(known(site="a/1/out"))["token"]() not in drawn


def test_a_steps_set_and_its_arcs_draw_different_tokens() -> None:
    blueprint = plan(
        step(
            "a", arc("b", writes=lambda s: {"ctx.y": s["token"]()}), writes=lambda s: {"ctx.x": s["token"]()}
        ),
        step("b"),
    )
    log = history(blueprint).requested().completed("a").settled()

    assert len({log.ctx["x"], log.ctx["y"]}) == 2


def test_each_entry_of_a_step_draws_its_own_token() -> None:
    drawn = []

    def admit(scope: Any) -> bool:
        drawn.append(scope["token"]())
        return True

    blueprint = plan(step("a", arc("a", lambda s: seen(s["result"])), admit=admit))
    history(blueprint).requested().completed("a", True).completed("a", False).settled()

    assert len(set(drawn)) == 2


def test_an_expression_is_given_the_names_it_reads() -> None:
    scope = {"a": 1, "b": 2}

    assert bind(scope, {("a", "x"), ("c",)}) == {"a": 1}
    assert bind(scope, {("*",)}) == scope
    assert evaluate(Expression(evaluate=dict, reads=frozenset({("b",)})), scope) == {"b": 2}


def test_results_and_envelopes_are_marked_when_they_are_read() -> None:
    results, envelopes = Results({"a": 1}), Envelopes({"a": {"status": "done"}})

    assert (results["a"], list(results), len(results)) == (Result(1), ["a"], 1)
    assert (envelopes["a"], list(envelopes), len(envelopes)) == (Envelope({"status": "done"}), ["a"], 1)


def test_an_envelope_tells_what_became_of_a_task() -> None:
    ref = Ref(uri="s3://x", bytes=1, sha256="", format="json")
    failed = envelope(
        ref, error=Error(kind="sql", message="m"), http={"status": 500}, attempt=3, duration_ms=7.0
    )

    assert failed.fields["status"] == "error"
    assert failed.fields["data"] == failed.fields["response"] == ref
    assert (failed.fields["ref"], failed.fields["http"]) == ("s3://x", {"status": 500})
    assert failed.fields["meta"] == {"attempt": 3, "duration_ms": 7.0}
    assert envelope(1, error=None).fields["status"] == "ok"


def test_steps_are_seen_as_envelopes_once_they_have_finished() -> None:
    found: dict[str, Any] = {}

    def look(scope: Any) -> bool:
        found.update({name: mark.fields for name, mark in scope["steps"].items()}, size=len(scope["steps"]))
        return True

    blueprint = plan(step("a", arc("b", on="error")), step("b", "c"), step("c", admit=look))
    history(blueprint).requested().failed("a", tries=2).later(3.0).completed("b", 5).settled()

    assert found["size"] == 2
    assert found["a"]["status"] == "failed"
    assert (found["a"]["attempts"], found["a"]["error"]["kind"]) == (2, "server_error")
    assert (found["b"]["data"], found["b"]["ref"], found["b"]["finished_at"]) == (5, None, START + 3.0)


def test_arcs_read_the_output_and_the_input() -> None:
    read: dict[str, Any] = {}

    def look(scope: Any) -> bool:
        read.update(
            output=scope["output"].fields, input=scope["input"], result=scope["result"], own=scope["b"]
        )
        return True

    blueprint = plan(step("a", arc("b", args=lambda s: {"n": 1})), step("b", arc("c", look)), step("c"))
    history(blueprint).requested().completed("a").completed("b", 9, tries=2, http={"status": 201}).settled()

    assert read["input"] == {"n": 1}
    assert read["result"] == read["own"] == Result(9)
    assert (read["output"]["meta"]["attempt"], read["output"]["http"]) == (2, {"status": 201})
