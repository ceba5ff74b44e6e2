"""The embedded broker killed, or stopped in order, under a running loop and started again: everyone finds it, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from noetl_stream.broker.launch import start_broker
from tests.integration.client import installed
from tests.integration.conftest import settings_at
from tests.integration.test_kills import accepted, completions
from tests.integration.test_rolling_restart import ITERATIONS, LOOP


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_loop_completes_though_the_broker_is_ended_under_it(tmp_path: Path, how: str) -> None:
    broker = start_broker(tmp_path / "broker")
    port = int(broker.bootstrap.rpartition(":")[2])
    try:
        async with installed(settings_at(broker.bootstrap, tmp_path)) as client:
            execution = await client.ask(await client.register(LOOP), {"count": ITERATIONS})
            await client.told(execution, until=completions(ITERATIONS // 4))
            getattr(broker, how)()
            broker = start_broker(tmp_path / "broker", port=port)
            told = await client.told(execution)
            results = (await client.results(await client.story(execution)))["each"]["results"]
    finally:
        broker.stop()

    assert accepted(told) == Counter(f"each/0/{n}" for n in range(ITERATIONS))
    assert results == [n * n for n in range(ITERATIONS)]
