"""The example that waits for others: a service that is told a token and answers with it, and a person who says yes or no."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from noetl_stream.cli.running import Job, report_of, run_to_end
from noetl_stream.core.tokens import read
from noetl_stream.replay.waiting import Asking, waiting
from noetl_stream.wiring import Platform
from tests.integration.client import Client
from tests.playbooks.examples import ANSWERS
from tests.tools.http_server import Site, serving

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def told(service: Site) -> str:
    """The token that the service was told."""
    [request] = service.seen
    assert isinstance(request["body"], bytes)
    token: str = json.loads(request["body"])["answer_with"]
    return token


async def asked(platform: Platform, execution: int, step: str) -> Asking:
    """What a step asks, once it does."""
    async with asyncio.timeout(30):
        while True:
            async for each in waiting(platform.reader, platform.topics, execution):
                if each.address == step:
                    return each


@pytest.mark.parametrize(
    ("approved", "ending"),
    [(True, ANSWERS.ending), (False, {"paid": 0, "why": "the wrong month"})],
    ids=["approved", "rejected"],
)
async def test_the_answers_example_waits_for_a_service_and_a_person(
    platform: Platform, approved: bool, ending: Any
) -> None:
    client = Client(platform=platform)
    with serving() as service:
        job = Job(path=ANSWERS.catalog_path, payload={"service": service.url}, key=uuid.uuid4().hex)
        running = asyncio.create_task(run_to_end(platform, job, timeout=100, watch=lambda _: None))
        await asked(platform, job.execution, "check")  # by then the service has been told
        await client.answer(read(told(service)), {"checked": 3})
        sign_off = await asked(platform, job.execution, "sign_off")
        verdict = {"approved": approved, "comment": None if approved else "the wrong month"}
        await client.answer(sign_off.token, verdict, by="ann")
        story = await running

    report = await report_of(platform, story)
    assert sign_off.ask == {"kind": "approve", "prompt": "pay 3 accounts?", "approvers": ["ann", "bob"]}
    assert (report["status"], report["error"]) == ("COMPLETED", None)
    assert tuple(report["path"]) == (*ANSWERS.path[:-1], "pay" if approved else "leave_it")
    assert story.end is not None
    assert story.end.result == ending
