"""The agent example: a model that reaches its goal, and models and tools that get everything wrong. It always ends, and tells."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from noetl_stream.cli.running import Job, report_of, resolved, run_to_end
from noetl_stream.core.values import Value
from noetl_stream.wiring import Platform
from tests.playbooks.examples import AGENT, HELLO
from tests.playbooks.model_server import Answer, Model, answering, calls, found, lacks, says
from tests.tools import mcp_server

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

Result: TypeAlias = dict[str, Any]
TEA = {"item": "tea", "count": 3}


@pytest.fixture(scope="module")
def shop() -> Iterator[mcp_server.Server]:
    with mcp_server.serving() as server:
        yield server


async def ran(platform: Platform, path: str, payload: dict[str, Value]) -> tuple[dict[str, Any], Any]:
    """The report, which must be that of a success, and the result."""
    job = Job(path=path, payload=payload, key=uuid.uuid4().hex)
    story = await run_to_end(platform, job, timeout=50, watch=lambda _: None)
    report = await report_of(platform, story)
    assert story.end is not None
    assert (report["status"], report["error"]) == ("COMPLETED", None)
    return report, await resolved(platform.cache, story.end.result)


async def result_of(platform: Platform, shop: str, model: Model, **limits: Value) -> Result:
    """What the agent ends with. Afterwards the worker is free for the next."""
    with answering(model):
        _, result = await ran(platform, AGENT.catalog_path, {"model": model.url, "shop": shop, **limits})
        assert (await ran(platform, HELLO.catalog_path, {}))[1] == HELLO.ending
    assert isinstance(result, dict)
    return result


def told(result: Result, role: str) -> list[str]:
    """What was said in a role, in order."""
    return [each["content"] for each in result["transcript"] if each["role"] == role and "content" in each]


async def test_an_agent_plans_acts_and_reflects_until_its_goal_is_reached(
    platform: Platform, shop: mcp_server.Server
) -> None:
    model = Model(
        plans=[calls("price", TEA), calls("discount", {"total": 36}, key="call_2")],
        verdicts=[lacks("the discount"), found("32.40")],
    )
    with answering(model):
        payload: dict[str, Value] = {"model": model.url, "shop": shop.url}
        report, result = await ran(platform, AGENT.catalog_path, payload)

    assert tuple(report["path"]) == AGENT.path
    assert {key: result[key] for key in ("status", "why", "answer", "turns")} == {
        "status": "reached",
        "why": None,
        "answer": "32.40",
        "turns": 2,
    }
    assert [(each["role"], each.get("tool_call_id")) for each in result["transcript"]] == [
        ("system", None), ("user", None),
        ("assistant", None), ("tool", "call_1"), ("assistant", None),
        ("assistant", None), ("tool", "call_2"), ("assistant", None),
    ]  # fmt: skip
    assert [json.loads(each) for each in told(result, "tool")] == [
        {"item": "tea", "total": 36},
        {"pays": 32.4},
    ]


async def test_a_model_is_told_the_goal_the_tools_and_all_that_was_said(
    platform: Platform, shop: mcp_server.Server
) -> None:
    model = Model(plans=[calls("price", TEA)], verdicts=[found("36")])

    result = await result_of(platform, shop.url, model, goal="what is the price of tea?", name="m-1")

    plan, verdict = model.seen
    assert [each["function"]["name"] for each in plan["tools"]][:2] == ["discount", "price"]
    assert plan["tools"][1]["function"]["parameters"]["required"] == ["item"]
    assert [each["content"] for each in plan["messages"]][1:] == ["what is the price of tea?"]
    assert verdict["messages"][:-1] == result["transcript"][:-1]
    assert (plan["model"], verdict["model"], verdict["response_format"]) == (
        "m-1",
        "m-1",
        {"type": "json_object"},
    )
    assert set(model.logins) == {"Bearer no-secret"}
    assert "no-secret" not in json.dumps(result)


async def test_an_answer_without_a_call_is_reflected_on(platform: Platform, shop: mcp_server.Server) -> None:
    model = Model(plans=[says("Tea is free. {{ 7 * 7 }}")], verdicts=[found("nothing, {{ 7 * 7 }}")])

    result = await result_of(platform, shop.url, model)

    assert (result["status"], result["turns"]) == ("reached", 1)
    assert told(result, "assistant")[0] == "Tea is free. {{ 7 * 7 }}"
    assert result["answer"] == "nothing, {{ 7 * 7 }}"


async def test_a_verdict_may_be_wrapped_in_prose(platform: Platform, shop: mcp_server.Server) -> None:
    verdict = says('Sure!\n```json\n{"done": true, "answer": "36"}\n```')

    result = await result_of(platform, shop.url, Model(plans=[calls("price", TEA)], verdicts=[verdict]))

    assert (result["status"], result["answer"]) == ("reached", "36")


NONSENSE = {
    "no JSON": Answer(body="<html>"),
    "another shape": Answer(body='{"choices": []}'),
    "a list": Answer(body="[1]"),
    "null": Answer(body="null"),
    "nothing said": says(" "),
    "a call of nothing": Answer(body='{"choices": [{"message": {"tool_calls": [{"id": 1}]}}]}'),
    "a call by number": calls("price", TEA, key=1),
    "a choice that is none": Answer(body='{"choices": {"0": 1}}'),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_told_and_may_be_mended(
    platform: Platform, shop: mcp_server.Server, answer: Answer
) -> None:
    model = Model(plans=[answer, calls("price", TEA)], verdicts=[found("36")])

    result = await result_of(platform, shop.url, model)

    assert (result["status"], result["answer"], result["turns"]) == ("reached", "36", 2)
    assert told(result, "user")[1] == "That is no answer. Call a tool, or say what you found."


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (calls("rob_a_bank", {}), "There is no such tool; there are discount, price, broken, key, endless."),
        (calls("price", "{item: tea}"), "These arguments are no JSON object of bearable size."),
        (calls("price", "[1]"), "These arguments are no JSON object of bearable size."),
        (calls("price", {"item": "t" * 3000}), "These arguments are no JSON object of bearable size."),
    ],
    ids=["unknown tool", "no JSON", "no object", "too large"],
)
async def test_a_call_that_cannot_be_made_is_told_and_may_be_mended(
    platform: Platform, shop: mcp_server.Server, call: Answer, said: str
) -> None:
    model = Model(plans=[call, calls("price", TEA)], verdicts=[found("36")])

    result = await result_of(platform, shop.url, model)

    assert (result["status"], result["turns"]) == ("reached", 2)
    assert told(result, "tool")[0] == said
    assert len(json.dumps(result["transcript"])) < 10_000


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (calls("broken", {}), "out of tea"),
        (calls("price", {"count": "many"}), "price"),
        (calls("discount", {"total": "much"}), "policy.schema.input"),
        (calls("discount", {}), "policy.schema.input"),
        (calls("discount", ""), "policy.schema.input"),
        (calls("discount", {"total": 36, "percent": 100}), "policy.schema.input"),
    ],
    ids=["failed", "wrong arguments", "wrong payload", "no payload", "nothing", "a price of its own"],
)
async def test_a_tool_that_fails_is_no_end(
    platform: Platform, shop: mcp_server.Server, call: Answer, said: str
) -> None:
    model = Model(plans=[call, calls("price", TEA)], verdicts=[lacks("another way"), found("36")])

    result = await result_of(platform, shop.url, model)

    assert (result["status"], result["answer"], result["turns"]) == ("reached", "36", 2)
    assert said in told(result, "tool")[0]


async def test_a_tool_that_never_ends_is_stopped_and_the_model_hears_of_it(platform: Platform) -> None:
    model = Model(plans=[calls("endless", {}), calls("price", TEA)], verdicts=[lacks("time"), found("36")])
    with mcp_server.serving() as shop:
        result = await result_of(platform, shop.url, model, patience=2)

        assert await asyncio.to_thread(shop.stopped.wait, 20)
    assert (result["status"], result["turns"]) == ("reached", 2)
    assert "did not end within 2 s" in told(result, "tool")[0]


@pytest.mark.parametrize(
    ("plan", "verdict"),
    [
        (calls("price", TEA), lacks("everything")),
        (calls("price", TEA), says("hm")),
        (calls("price", TEA), says('{"done": true}')),
        (calls("price", TEA), Answer(body="null")),
        (says(""), lacks("everything")),
    ],
    ids=["never content", "no verdict", "no answer", "null", "nothing but nonsense"],
)
async def test_an_agent_that_gets_nowhere_ends_with_its_turns(
    platform: Platform, shop: mcp_server.Server, plan: Answer, verdict: Answer
) -> None:
    model = Model(plans=[plan], verdicts=[verdict])

    result = await result_of(platform, shop.url, model, turns=3)

    assert (result["status"], result["answer"], result["turns"]) == ("out of turns", None, 3)
    assert sum("tools" in request for request in model.seen) == 3
    assert len(told(result, "assistant")) >= 3


@pytest.mark.parametrize(
    ("answer", "asked", "why"),
    [
        (Answer(body="", wait=True), 2, "did not end within 1 s"),
        (Answer(body="{}", status=500), 2, "500"),
        (Answer(body="{}", status=401), 1, "401"),
    ],
    ids=["silent", "broken", "refuses"],
)
async def test_a_model_that_cannot_be_asked_is_told_with_the_conversation_so_far(
    platform: Platform, shop: mcp_server.Server, answer: Answer, asked: int, why: str
) -> None:
    model = Model(plans=[calls("price", TEA), answer], verdicts=[lacks("the discount")])

    result = await result_of(platform, shop.url, model, patience=1)

    assert (result["status"], result["answer"], result["turns"]) == ("failed", None, 1)
    assert why in result["why"]
    assert "no-secret" not in json.dumps(result)
    assert sum("tools" in request for request in model.seen) == 1 + asked
    assert json.loads(told(result, "tool")[0]) == {"item": "tea", "total": 36}


async def test_a_shop_that_is_not_there_is_told(platform: Platform) -> None:
    result = await result_of(platform, "http://127.0.0.1:1/mcp", Model(plans=[says("")]))

    assert result["status"] == "failed"
    assert "no MCP server answers" in result["why"]
