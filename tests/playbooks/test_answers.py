"""The example that waits for others: a service that is told a token and answers with it, and a person who says yes or no."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest

from noetl_stream.cli.running import Job, report_of, run_to_end
from noetl_stream.core.events import CallbackReceived
from noetl_stream.core.tokens import read
from noetl_stream.core.values import Value
from noetl_stream.replay.waiting import Asking, waiting
from noetl_stream.wiring import Platform
from tests.playbooks.examples import ANSWERS

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@asynccontextmanager
async def service() -> AsyncIterator[tuple[str, Queue[str]]]:
    """Its address, and the tokens that it was told."""
    told = Queue[str]()

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.put(body["answer_with"])
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", told
        server.shutdown()
        thread.join()


async def answer(platform: Platform, text: str, found: Value, actor: str | None = None) -> None:
    token = read(text)
    event = CallbackReceived(
        block=token.block,
        attempt=token.attempt,
        segment=token.segment,
        seal=token.seal,
        time=time.time(),
        answer=found,
        actor=actor,
    )
    await platform.facts.report(token.execution, event)


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
    async with service() as (address, told):
        job = Job(path=ANSWERS.catalog_path, payload={"service": address}, key=uuid.uuid4().hex)
        running = asyncio.create_task(run_to_end(platform, job, timeout=100, watch=lambda _: None))
        await answer(platform, await asyncio.to_thread(told.get), {"checked": 3})
        sign_off = await asked(platform, job.execution, "sign_off")
        verdict = {"approved": approved, "comment": None if approved else "the wrong month"}
        await answer(platform, sign_off.token.text, verdict, "ann")
        story = await running

    report = await report_of(platform, story)
    assert sign_off.ask == {"kind": "approve", "prompt": "pay 3 accounts?", "approvers": ["ann", "bob"]}
    assert (report["status"], report["error"]) == ("COMPLETED", None)
    assert tuple(report["path"]) == (*ANSWERS.path[:-1], "pay" if approved else "leave_it")
    assert story.end is not None
    assert story.end.result == ending
