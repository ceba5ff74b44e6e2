"""The story of an execution, from its accepted records."""

from __future__ import annotations

from noetl_stream.core.events import Decision
from noetl_stream.core.partition import Partition, evolve
from noetl_stream.core.report import Story
from tests.histories.blueprints import chain, loop, plan, router, step
from tests.histories.builder import EXECUTION, START, History, history


def story(log: History) -> Story:
    """Told from a fold of its own, as any reader does."""
    state, told = Partition(), Story()
    for offset, record in enumerate(log.log):
        folded = evolve(state, record.machine, record.event, offset)
        at = record.event.at if isinstance(record.event, Decision) else START
        if record.machine == EXECUTION:
            told.tell(record.event, folded, at)
    return told


def test_a_story_tells_the_steps_in_order_and_how_each_went() -> None:
    blueprint = plan(router("start", "each"), step("each", "load", loop=loop(2)), step("load"))
    log = history(blueprint).requested().each("each").later(4.0)
    log.failed("load", retry=0.0).completed("load", 7, writes={"ctx.n": 1}).settled()

    told = story(log).as_json({"load": 7})

    assert told["path"] == ["start", "each", "load"]
    assert told["steps"] == {
        "start": {"status": "done", "attempts": 0, "iterations": 0, "epochs": 1},
        "each": {"status": "done", "attempts": 2, "iterations": 2, "epochs": 1},
        "load": {"status": "done", "attempts": 2, "iterations": 1, "epochs": 1},
    }
    assert (told["status"], told["error"], told["ctx"], told["results"]) == (
        "COMPLETED",
        None,
        {"n": 1},
        {"load": 7},
    )
    assert (told["started_at"], told["finished_at"]) == (START, START + 4.0)
    assert (told["execution_id"], told["playbook"], told["version"]) == (str(EXECUTION), "tests/plan", 1)


def test_a_story_names_what_went_wrong() -> None:
    told = story(history(chain("load")).requested().failed("load").settled()).as_json({})

    assert told["status"] == "FAILED"
    assert told["error"] == {"step": "load", "kind": "server_error", "message": "the server is on fire"}
    assert told["steps"]["load"]["status"] == "failed"


def test_a_story_may_be_told_while_it_happens() -> None:
    told = story(history(chain("load")).requested().settled()).as_json({})

    assert (told["status"], told["finished_at"]) == ("RUNNING", None)
    assert told["steps"]["load"] == {"status": "running", "attempts": 0, "iterations": 0, "epochs": 1}


def test_what_the_fold_did_not_accept_is_no_part_of_the_story() -> None:
    log = history(chain("load")).requested().completed("load", 1)
    once = story(log.settled()).events
    log.again(3).again(1).again(2)

    assert story(log).events == once == 7
