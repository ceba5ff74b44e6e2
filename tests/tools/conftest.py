"""What the tools' tests stand on: a real pool of processes, a real http server, and calls as a worker makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from noetl_stream.ports.tools import Call, Done, Park, Tool
from noetl_stream.tools.script import Hosts, Scripts
from noetl_stream.tools.warm.pool import WarmPool
from tests.tools.http_server import Site, serving


class Run(Protocol):
    async def __call__(self, config: Mapping[str, Any], /, **fields: Any) -> Any: ...


def call(tool: Tool, config: Mapping[str, Any], **fields: Any) -> Call:
    """A call as a worker makes it, with the config validated by the tool's own model."""
    given: dict[str, Any] = {"input": {}, "context": {}, "effect_key": "e1", "timeout": 20.0, "execution": 7}
    return Call(config=tool.config.model_validate(config), **(given | fields))


def runner(tool: Tool, **given: Any) -> Run:
    """Runs the tool and yields its value. `given` are fields of each call that does not say otherwise."""

    async def run(config: Mapping[str, Any], /, **fields: Any) -> Any:
        outcome: Done | Park = await tool.run(call(tool, config, **(given | fields)))
        assert isinstance(outcome, Done)
        return outcome.value

    return run


async def _fetch_nothing(url: str, headers: Mapping[str, str], hosts: Hosts) -> str:
    raise AssertionError(f"nobody reads {url}")


unreachable = Scripts(_fetch_nothing)
"""For tools whose tests read nothing over http."""


async def new_topic(bootstrap: str, partitions: int) -> str:
    """The name of an empty topic that nobody else has."""
    name = f"orders-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1)])
    await admin.close()
    return name


PAUSE = 0.005
"""Seconds between two looks."""


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; the test's own timeout bounds it.

    Whoever asks without a pause takes a processor from those that are waited for.
    """
    while not condition():  # noqa: ASYNC110 - it may hold in another process, which tells nobody
        await asyncio.sleep(PAUSE)


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
async def pool() -> AsyncIterator[WarmPool]:
    pool = WarmPool(size=2)
    yield pool
    await pool.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site
