"""A block that asks somebody outside: its token is in its templates, and its answer, kept by the log, is the task's."""

from __future__ import annotations

from noetl_stream.core.events import BlockParked, Callback, CallbackReceived
from noetl_stream.core.tokens import read
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Park
from tests.worker.stage import Act, Stage, played

ASK = "- {step: s, tool: {name: ask, kind: act, say: '{{ callback_token }}'}}"


def asking(tokens: list[str]) -> Act:
    """Parks until it is answered; keeps the tokens that its input and its call had."""

    def run(call: Call) -> object:
        if call.answered:
            return call.answer.get("answer", "nobody")
        assert call.config.say == call.callback
        tokens.append(call.callback)
        return Park(wait=Callback(ask={"prompt": "?"}))

    return Act(run)


def answered(stage: Stage, text: str, answer: object) -> str:
    """What the log makes of an answer with this token."""
    token = read(text)
    stage.log.fold(
        CallbackReceived(
            block=token.block,
            attempt=token.attempt,
            segment=token.segment,
            seal=token.seal,
            time=stage.log.now,
            answer=answer,
        ),
        token.execution,
    )
    return stage.log.verdict


async def test_a_token_from_a_template_answers_its_block(cache: Cache) -> None:
    tokens: list[str] = []
    stage = await played(ASK, cache, asking(tokens))
    assert isinstance(stage.outcome, BlockParked)

    assert answered(stage, tokens[0], {"paid": 9}) == "accepted"
    await stage.play()

    assert stage.results["s"] == {"paid": 9}
    assert answered(stage, tokens[0], {"paid": 8}) == "stale"


async def test_each_visit_of_a_task_has_a_token_of_its_own(cache: Cache) -> None:
    tokens: list[str] = []
    rules = "spec: {policy: {rules: [{when: '{{ result == 1 }}', then: {do: jump, to: ask}}]}}"
    again = ASK.replace("say:", f"{rules}, say:")
    stage = await played(again, cache, asking(tokens))
    assert answered(stage, tokens[0], 1) == "accepted"
    await stage.play()
    assert answered(stage, tokens[1], 2) == "accepted"
    await stage.play()

    assert len(set(tokens)) == 2
    assert stage.results["s"] == 2
