"""One installation that runs as long as the session, started as anybody would."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Ended, noetl, started, written
from tests.cli.documents import HELLO, SLEEPING


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A running `up` and where its things are."""

    bootstrap: str
    data: Path

    def __call__(self, *arguments: object) -> Ended:
        """Run a command against it."""
        return noetl(*arguments, "--bootstrap", self.bootstrap)

    async def ended(self, execution: str) -> dict[str, Any]:
        """An execution's report once it is over."""
        async with asyncio.timeout(40):
            while True:
                report = (await asyncio.to_thread(self, "status", execution, "--json")).json()
                if report["status"] != "RUNNING":
                    return report  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`noetl-stream up` with a broker of its own and the examples registered; SIGTERM ends it in order.

    On a broker that is named: tests/integration/test_up.py.
    """
    data, examples = tmp_path_factory.mktemp("up"), tmp_path_factory.mktemp("examples")
    written(examples, "hello.yaml", HELLO)
    written(examples, "sleeping.yaml", SLEEPING)
    running = started("up", "--port", 0, "--data", data, "--json")
    assert running.stdout is not None
    ready = json.loads(running.stdout.readline())
    found = Up(bootstrap=ready["bootstrap"], data=data)
    registered = found("register", examples)
    assert registered.code == 0, registered.err
    yield found
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
