"""The callback tool: it tells whoever is to answer, once and with the token, parks, and yields the answer."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from noetl_stream.core.events import Callback
from noetl_stream.errors import ToolError
from noetl_stream.ids import identity
from noetl_stream.ports.tools import Call, Done, Nature, Park
from noetl_stream.tools.callback import CallbackTool
from noetl_stream.tools.http.tool import HttpConfig
from tests.tools.conftest import call


class Teller:
    """Stands where the http tool stands: hears what it is to send."""

    kind: ClassVar[str] = "http"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = HttpConfig

    def __init__(self, fault: ToolError | None = None) -> None:
        self.told: list[Call] = []
        self._fault = fault

    async def run(self, call: Call) -> Done | Park:
        self.told.append(call)
        if self._fault is not None:
            raise self._fault
        return Done(value=None)

    async def close(self) -> None:
        """Nothing is held open."""


NOTIFY = {"url": "https://bank.example/jobs", "method": "post", "body": {"token": "t0ken"}}


async def parked(config: dict[str, Any], teller: Teller, **fields: Any) -> Callback:
    tool = CallbackTool(teller)
    outcome = await tool.run(call(tool, config, **fields))
    assert isinstance(outcome, Park)
    assert isinstance(outcome.wait, Callback)
    return outcome.wait


async def test_without_a_timeout_it_waits_for_ever() -> None:
    wait = await parked({"prompt": "the bank"}, Teller(), timeout=None)

    assert wait == Callback(until=None, ask={"kind": "callback", "prompt": "the bank"})


async def test_its_timeout_bounds_the_wait() -> None:
    assert (await parked({}, Teller(), timeout=90.0)).until == pytest.approx(time.time() + 90, abs=5)


async def test_whoever_answers_is_told_before_it_parks_and_holds_no_slot_for_long() -> None:
    teller = Teller()

    await parked({"notify": NOTIFY}, teller, timeout=86_400.0, callback="t0ken")

    (told,) = teller.told
    assert (told.config.method, told.config.body, told.timeout) == ("POST", {"token": "t0ken"}, 60.0)


async def test_each_token_is_told_under_a_key_of_its_own() -> None:
    """Else whoever keeps keys would take the next try's token for a repetition, and answer the one before."""
    teller = Teller()

    for token in ("first", "first", "second"):
        await parked({"notify": NOTIFY}, teller, callback=token)

    first, second = identity("notify", "first").hex(), identity("notify", "second").hex()
    assert [told.effect_key for told in teller.told] == [first, first, second]


async def test_who_cannot_be_told_is_not_waited_for() -> None:
    refused = ToolError("the bank answered 503", kind="server_error", retryable=True)

    with pytest.raises(ToolError, match="answered 503"):
        await parked({"notify": NOTIFY}, Teller(refused))


@pytest.mark.parametrize("answer", [None, 5, {"paid": True}])
async def test_the_answer_is_its_result_and_nobody_is_told_again(answer: Any) -> None:
    teller = Teller()
    tool = CallbackTool(teller)
    found = {"status": "ANSWERED", "answer": answer, "actor": None, "time": 1.0}

    outcome = await tool.run(call(tool, {"notify": NOTIFY}, answer=found, answered=True))

    assert outcome == Done(value=answer)
    assert teller.told == []


async def test_past_its_timeout_the_task_fails_as_timed_out() -> None:
    tool = CallbackTool(Teller())

    with pytest.raises(ToolError, match="nobody answered within 20 s") as raised:
        await tool.run(call(tool, {}, answer={"status": "TIMED_OUT"}, answered=True))

    assert (raised.value.kind, raised.value.retryable) == ("timeout", False)
