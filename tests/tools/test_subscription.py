"""The subscription tool over Kafka: a bounded drain, and offsets that move only with an acknowledgement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from noetl_stream.adapters.user_kafka import UserKafka
from noetl_stream.errors import ToolError
from noetl_stream.ports.brokers import Cluster, Outgoing
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.subscription.tool import Subscription
from tests.tools.conftest import Run, call, new_topic, runner

HEADERS: list[Any] = [("h", b"v"), ("without", None)]


@pytest.fixture
async def topic(embedded_bootstrap: str) -> str:
    """A topic with five messages in one partition."""
    name = await new_topic(embedded_bootstrap, 1)
    sent = [Outgoing(key=b"k", value=b'{"n": %d}' % n, headers=HEADERS) for n in range(5)]
    await UserKafka().produce(Cluster(bootstrap=embedded_bootstrap), name, sent)
    return name


@pytest.fixture
def drain(embedded_bootstrap: str, topic: str) -> Run:
    credentials = {"events": Secret("events", {"bootstrap": embedded_bootstrap})}
    inner = runner(Subscription(UserKafka(), Reach()), credentials=credentials)

    async def run(config: Mapping[str, Any], /, **fields: Any) -> Any:
        return await inner({"source": "kafka", "topic": topic, "group": "g", **config}, **fields)

    return run


def numbers(result: Mapping[str, Any]) -> list[int]:
    return [message["data"]["n"] for message in result["messages"]]


async def test_what_is_not_acknowledged_comes_again(drain: Run, topic: str) -> None:
    first = await drain({"batch": 2})
    again = await drain({"batch": 2})
    acked = await drain({"operation": "ack", "ids": again["messages"]})
    rest = await drain({})

    assert (numbers(first), numbers(again), numbers(rest)) == ([0, 1], [0, 1], [2, 3, 4])
    assert (first["status"], first["source"], first["count"], first["acked"]) == ("ok", "kafka", 2, 0)
    assert acked["acked"] == 2
    assert first["messages"][0] == {
        "id": f"{topic}/0/0",
        "data": {"n": 0},
        "headers": {"h": "v", "without": None},
        "metadata": first["messages"][0]["metadata"],
    }
    assert first["messages"][0]["metadata"]["key"] == "k"


async def test_with_ack_they_are_done_with_as_they_are_read(drain: Run) -> None:
    drained = [await drain({"ack": True, "batch": 4}) for _ in range(3)]

    assert [numbers(each) for each in drained] == [[0, 1, 2, 3], [4], []]
    assert [each["acked"] for each in drained] == [4, 1, 0]
    assert drained[-1]["status"] == "empty"


async def test_a_nack_takes_the_group_back(drain: Run) -> None:
    read = await drain({"ack": True})

    await drain({"operation": "nack", "ids": [read["messages"][3]["id"]]})

    assert numbers(await drain({})) == [3, 4]


async def test_each_group_has_its_own_place(drain: Run) -> None:
    await drain({"ack": True})

    assert numbers(await drain({"group": "other"})) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ids", [["other/0/1"], ["nonsense"], [7]])
async def test_an_id_of_elsewhere_is_refused(drain: Run, ids: list[Any]) -> None:
    with pytest.raises(ToolError, match="no message") as found:
        await drain({"operation": "ack", "ids": ids})

    assert found.value.kind == "validation"


async def test_a_source_that_is_known_and_not_there_says_so(drain: Run) -> None:
    with pytest.raises(ToolError, match="'pubsub' is not available") as found:
        await drain({"source": "pubsub", "subscription": "s"})

    assert found.value.kind == "not_installed"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"source": "kafka", "topic": "t"}, "needs a `group`"),
        ({"source": "kafka", "group": "g"}, "needs a `topic`"),
        ({"source": "nats", "stream": "s"}, "needs a `consumer`"),
        ({"source": "pigeon"}, "source"),
    ],
)
def test_a_config_that_says_too_little_is_refused(config: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call(Subscription(None, Reach()), config)
