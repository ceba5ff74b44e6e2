"""A service's view: the program that the documentation shows, run as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path
from uuid import uuid4

import pytest

import noetl_stream
from noetl_stream.settings import Settings
from tests.integration.client import installed
from tests.integration.test_requests import GREET

SERVICE = Path(noetl_stream.__file__).parents[1] / "docs" / "examples" / "service.py"


@pytest.mark.parametrize(
    ("payload", "status", "result"),
    [({"who": "you"}, "COMPLETED", "hello you"), ({"who": 17}, "FAILED", None)],
)
async def test_a_service_asks_with_plain_kafka_and_reads_its_reply(
    settings: Settings, payload: dict[str, object], status: str, result: str | None
) -> None:
    ask = runpy.run_path(str(SERVICE))["ask"]
    async with installed(settings) as client:
        await client.register(GREET)
        requests, replies = settings.topics.requests.name, f"replies-{uuid4().hex[:8]}"
        reply = await ask(settings.bootstrap, "greet", payload, to=requests, replies=replies)

    assert (reply["status"], reply["result"]) == (status, result)
    assert (reply["error"] is None) == (status == "COMPLETED")


def test_the_program_that_is_shown_fits_on_a_page_and_imports_nothing_of_ours() -> None:
    text = SERVICE.read_text()
    assert len(text.splitlines()) <= 25
    assert "noetl_stream" not in text
