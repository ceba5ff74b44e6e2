"""A service's view: the programs that the documentation shows, in four languages, run as they stand."""

from __future__ import annotations

import asyncio
import json
import runpy
import shutil
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

import noetl_stream
from noetl_stream.settings import Settings
from tests.clients.java import find_tools
from tests.contract.clients import Kafka
from tests.integration.client import installed
from tests.integration.test_requests import GREET
from tests.kafka_node import java_command

EXAMPLES = Path(noetl_stream.__file__).parents[1] / "docs" / "examples"
SERVICE = EXAMPLES / "service.py"


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


def _java(bootstrap: str) -> list[str]:
    return [*java_command(find_tools(bootstrap).jars), str(EXAMPLES / "Ask.java")]


def _go(_: str) -> list[str]:
    """Its client comes from the public proxy, where that can be reached."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        pytest.skip("no `go` on the PATH")
    there = ("-C", str(EXAMPLES / "go"))
    fetched = subprocess.run([go, "mod", "download", *there], capture_output=True, text=True, check=False)
    if fetched.returncode:
        pytest.skip(f"Go's Kafka client cannot be had: {fetched.stderr}")
    return [go, "run", *there, "."]


def _kcat(_: str) -> list[str]:
    return [str(EXAMPLES / "ask.sh")]


@pytest.mark.timeout(240, func_only=True)
@pytest.mark.parametrize("language", [_java, _go, _kcat], ids=lambda language: language.__name__.strip("_"))
async def test_other_languages_ask_the_same(settings: Settings, language: Callable[[str], list[str]]) -> None:
    command = await asyncio.to_thread(language, settings.bootstrap)
    async with installed(settings) as client:
        await client.register(GREET)
        requests, replies = settings.topics.requests.name, f"replies-{uuid4().hex[:8]}"
        await Kafka(bootstrap=settings.bootstrap).create(replies)
        asked = (settings.bootstrap, "greet", '{"who": "you"}', requests, replies)
        program = await asyncio.create_subprocess_exec(*command, *asked, stdout=PIPE)
        out, _ = await program.communicate()

    assert program.returncode == 0
    assert json.loads(out) | {"execution_id": "", "finished_at": 0.0, "correlation": ""} == {
        "execution_id": "",
        "playbook": "greet",
        "version": 1,
        "status": "COMPLETED",
        "finished_at": 0.0,
        "result": "hello you",
        "error": None,
        "correlation": "",
    }
