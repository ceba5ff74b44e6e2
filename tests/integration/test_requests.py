"""What services send: good requests are answered, bad ones are set aside with a reason, repeated ones run once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from noetl_stream.core.events import ExecutionRequested
from noetl_stream.wire.codec import decode_event
from tests.integration.client import Client, installed
from tests.integration.conftest import settings_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREET = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: greet}
workload: {who: nobody}
workflow:
- step: hello
  tool: {kind: python, input: {who: "{{ workload.who }}"}, code: "result = 'hello ' + who"}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One installation for all, with one playbook."""
    async with installed(settings_at(bootstrap, tmp_path_factory.mktemp("installation"))) as client:
        await client.register(GREET)
        yield client


BAD = [
    (b"not json", "neither"),
    (b'{"playbook": "greet", "paylod": {}}', "'paylod'"),
    (b'{"payload": {}}', "'playbook'"),
    (b'{"playbook": "nowhere"}', "no playbook 'nowhere'"),
    (b'{"playbook": "greet", "version": 9}', "no playbook 'greet version 9'"),
    (b'{"playbook": "greet", "reply_to": "somebody-elses"}', "'somebody-elses' are not allowed"),
    (b'{"playbook": "greet", "reply_to": "replies-no such name"}', "no legal topic name"),
    (b"\xc3\x01 and no schema", "schema"),
    (b"", "neither"),
]


@pytest.mark.parametrize(("request_bytes", "reason"), BAD, ids=[reason for _, reason in BAD])
async def test_a_bad_request_becomes_a_dead_letter_that_says_why_and_the_next_one_completes(
    client: Client, request_bytes: bytes, reason: str
) -> None:
    offset = await client.send(request_bytes)
    story = await client.story(await client.ask("greet", {"who": "next"}))

    topic = client.platform.topics.requests.name
    [letter] = [each for each in await client.letters() if each.origin == (topic, 0, offset)]
    assert letter.value == request_bytes
    assert reason in letter.reason
    assert story.status == "COMPLETED"


async def test_the_same_key_twice_is_one_execution_and_a_second_reply_is_told_from_the_log(
    client: Client,
) -> None:
    again = {"key": "once", "reply_to": "replies-once", "correlation": "order 17"}
    execution = await client.ask("greet", {"who": "you"}, **again)
    first = await client.story(execution)
    assert await client.ask("greet", {"who": "somebody else"}, **again) == execution
    replies = [json.loads(record.value or b"") for record in await client.records("replies-once", 0, 2)]

    assert replies[0]["result"] == replies[1]["result"] == "hello you"
    assert replies[0] | {"finished_at": 0} == replies[1] | {"finished_at": 0}
    assert replies[0] == {
        "execution_id": str(execution),
        "playbook": "greet",
        "version": 1,
        "status": "COMPLETED",
        "finished_at": replies[0]["finished_at"],
        "result": "hello you",
        "error": None,
        "correlation": "order 17",
    }
    assert await _requests(client, execution) == 2
    assert (await client.story(execution)).events == first.events


async def _requests(client: Client, execution: int) -> int:
    """How often the log has the request: recognised by the fold, not kept out of it."""
    mine = [r for r in await client.log_of(execution) if r.key == str(execution).encode()]
    return sum(isinstance(decode_event(record.value or b""), ExecutionRequested) for record in mine)


async def test_requests_without_a_key_are_each_an_execution_of_their_own(client: Client) -> None:
    request = b'{"playbook": "greet", "reply_to": "replies-keyless"}'
    await client.send(request)
    await client.send(request)
    replies = [json.loads(record.value or b"") for record in await client.records("replies-keyless", 0, 2)]

    assert len({reply["execution_id"] for reply in replies}) == 2
    assert {reply["result"] for reply in replies} == {"hello nobody"}


async def test_a_failed_execution_is_replied_to_with_its_error(client: Client) -> None:
    path = await client.register(
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: broken}\n"
        "workflow:\n- {step: risky, tool: {kind: python, code: 'raise ValueError(17)'}}\n"
    )
    await client.ask(path, reply_to="replies-broken", correlation="c")
    [reply] = [json.loads(record.value or b"") for record in await client.records("replies-broken", 0, 1)]

    assert (reply["status"], reply["result"], reply["correlation"]) == ("FAILED", None, "c")
    assert (reply["error"]["step"], reply["error"]["kind"]) == ("risky", "python")
    assert "17" in reply["error"]["message"]
