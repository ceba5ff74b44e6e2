"""What an address means, whatever the steps are called, and the sentence where it means nothing."""

from __future__ import annotations

import pytest

from noetl_stream.core.address import Address, parse
from noetl_stream.core.events import BlockId
from noetl_stream.core.execution import Execution
from noetl_stream.core.located import repeatable, stoppable
from noetl_stream.errors import InvalidRequest
from tests.histories.blueprints import arc, chain, loop, plan, step
from tests.histories.builder import EXECUTION, History, history

STEPS = ["load", "load[1]", "a/b", "#", "x#1", "[2]", "é ß"]


@pytest.mark.parametrize(
    ("text", "step", "epoch", "iteration"),
    [
        ("load", "load", None, None),
        ("load[17]", "load", None, 17),
        ("load#2[17]", "load", 2, 17),
        ("load#2", "load", 2, None),
        ("load[1]", "load[1]", None, None),
        ("load[1][3]", "load[1]", None, 3),
        ("a/b[0]", "a/b", None, 0),
        ("x#1", "x#1", None, None),
        ("x#1#1[0]", "x#1", 1, 0),
        ("#[4]", "#", None, 4),
        ("[2][2]", "[2]", None, 2),
        ("é ß#0", "é ß", 0, None),
    ],
)
def test_an_address_is_read_and_the_longest_name_wins(
    text: str, step: str, epoch: int | None, iteration: int | None
) -> None:
    found = parse(text, STEPS)

    assert found == Address(step=step, epoch=epoch, iteration=iteration)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("laod[17]", "no step 'laod' has been entered; did you mean 'load[17]'?"),
        ("lode#1[2]", "no step 'lode' has been entered; did you mean 'load#1[2]'?"),
        (
            "other[x]",
            "no step 'other[x]' has been entered, but 'load', 'end'; write STEP, STEP[17] or STEP#2[17]",
        ),
    ],
)
def test_a_step_that_nobody_knows_is_refused_with_the_nearest(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(text, ["load", "end"])

    assert str(refused.value) == sentence


def test_no_step_at_all_has_been_entered() -> None:
    with pytest.raises(InvalidRequest, match="has been entered, but none yet;"):
        parse("load", [])


FORTY = plan(step("load", "after", loop=loop(40, limit=2, parallel=True, on_error="continue")), step("after"))


def ask(log: History, text: str, *, force: bool | None = None) -> str:
    """What is said of a wish to stop, or with `force` to run again."""
    with pytest.raises(InvalidRequest) as refused:
        _located(log.execution, text, force)
    return str(refused.value)


def _located(state: Execution, text: str, force: bool | None) -> tuple[BlockId, int]:
    address = parse(text, state.epochs)
    return stoppable(state, address) if force is None else repeatable(state, address, force=force)


@pytest.mark.parametrize("force", [None, False, True])
def test_an_address_must_name_what_is_there(force: bool | None) -> None:
    log = history(FORTY).requested().settled()

    assert ask(log, "load[57]", force=force) == ("step 'load' has 40 iterations, 0 to 39; 57 is none of them")
    assert ask(log, "load", force=force) == (
        "step 'load' is a loop; say which of its iterations, as in 'load[0]'"
    )
    assert ask(log, "load#3[0]", force=force) == "step 'load' was entered once, as #0; #3 is none of them"


def test_a_plain_step_has_no_numbers() -> None:
    log = history(chain("work")).requested().settled()

    assert ask(log, "work[3]") == "step 'work' has no loop, so no [3]; name the step alone"
    assert stoppable(log.execution, parse("work", ["work"]))[1] == 0
    assert repeatable(log.execution, parse("work[0]", ["work"]), force=False)[1] == 1


def test_an_empty_loop_and_one_of_one() -> None:
    one = history(plan(step("each", loop=loop(1)))).requested().settled()
    assert ask(one, "each[1]") == "step 'each' has one iteration, 0; 1 is none of them"

    growing = history(plan(step("each", loop=loop(lambda s: 1 / 0)))).requested()
    assert ask(growing, "each[0]") == (
        "no step 'each' has been entered, but none yet; write STEP, STEP[17] or STEP#2[17]"
    )


def test_what_has_ended_is_not_cancelled_and_the_sentence_says_how_it_ended() -> None:
    log = history(FORTY).requested().completed("load", iteration=0).failed("load", iteration=1).settled()

    assert ask(log, "load[0]") == "'load[0]' has succeeded already; nothing is left to cancel"
    assert ask(log, "load[1]") == "'load[1]' has failed already; nothing is left to cancel"


def test_what_cannot_run_again_says_why() -> None:
    log = history(FORTY).requested().completed("load", iteration=0).failed("load", iteration=1).settled()

    assert ask(log, "load[0]", force=False) == (
        "'load[0]' has succeeded; run it again all the same with --force"
    )
    assert ask(log, "load[9]", force=False) == "'load[9]' has not begun yet; it will run in its turn"
    log.rerun("load", iteration=1)
    assert ask(log, "load[1]", force=True) == "'load[1]' is to run again already; wait until it has"


def test_what_is_over_can_be_forked() -> None:
    log = history(FORTY).requested().each("load")
    fork = f"fork it: noetl-stream fork {EXECUTION} --from 'load[7]'"

    assert ask(log, "load[7]", force=False) == f"step 'load' is over; {fork}"
    log.completed("after").settled()
    assert ask(log, "load[7]", force=True) == f"execution {EXECUTION} has ended; {fork}"
    assert ask(log, "load[7]") == f"execution {EXECUTION} has ended; {fork}"


def test_an_epoch_of_before_is_over() -> None:
    blueprint = plan(step("a", "b"), step("b", arc("a", lambda s: True)))
    log = history(blueprint).requested().completed("a").completed("b").settled()

    assert ask(log, "a#0") == f"step 'a' is over; fork it: noetl-stream fork {EXECUTION} --from 'a#0'"
    assert ask(log, "a#4") == "step 'a' was entered 2 times, as #0 to #1; #4 is none of them"
    assert stoppable(log.execution, parse("a#1", ["a"]))[0].epoch == 1
