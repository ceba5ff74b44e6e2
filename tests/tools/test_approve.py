"""The approve tool: what it shows to whoever is asked, and what it makes of their yes or no."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from noetl_stream.core.events import Callback
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Done, Park
from noetl_stream.tools.approve import Approve
from tests.tools.conftest import call
from tests.tools.test_callback import Teller

tool = Approve(Teller())
CONFIG = {"prompt": "pay 900 to ACME", "approvers": ["ann", "bob"]}


async def heard(answer: Any, actor: str | None = "ann", config: dict[str, Any] = CONFIG) -> Any:
    found = {"status": "ANSWERED", "answer": answer, "actor": actor, "time": 0.5}
    outcome = await tool.run(call(tool, config, answer=found, answered=True))
    assert isinstance(outcome, Done)
    return outcome.value


async def test_it_parks_with_what_is_asked_of_whom() -> None:
    outcome = await tool.run(call(tool, CONFIG, timeout=None))

    shown = {"kind": "approve", "prompt": "pay 900 to ACME", "approvers": ["ann", "bob"]}
    assert outcome == Park(wait=Callback(until=None, ask=shown))


def test_it_says_what_is_to_be_approved() -> None:
    with pytest.raises(ValidationError, match="prompt"):
        tool.config.model_validate({})


@pytest.mark.parametrize("approved", [True, False])
async def test_a_yes_and_a_no_are_both_answers(approved: bool) -> None:
    assert await heard({"approved": approved, "comment": "fine"}) == {
        "approved": approved,
        "by": "ann",
        "comment": "fine",
        "at": "1970-01-01T00:00:00.500000+00:00",
    }


@pytest.mark.parametrize("actor", ["eve", None])
async def test_only_those_who_are_named_may_answer(actor: str | None) -> None:
    with pytest.raises(ToolError, match="only ann, bob may") as raised:
        await heard({"approved": True}, actor)

    assert raised.value.kind == "auth"


async def test_where_nobody_is_named_whoever_holds_the_token_may_answer() -> None:
    assert (await heard({"approved": True}, None, {"prompt": "go on?"}))["by"] is None


@pytest.mark.parametrize("answer", [None, True, "yes", {}, {"approved": "yes"}, {"approved": 1}])
async def test_an_answer_that_is_neither_fails_the_task_and_is_kept(answer: Any) -> None:
    with pytest.raises(ToolError, match="neither approves nor rejects") as raised:
        await heard(answer)

    assert (raised.value.kind, raised.value.value) == ("validation", answer)


async def test_nobody_answering_in_time_is_a_timeout() -> None:
    with pytest.raises(ToolError, match="nobody answered within 20 s") as raised:
        await tool.run(call(tool, CONFIG, answer={"status": "TIMED_OUT"}, answered=True))

    assert raised.value.kind == "timeout"
