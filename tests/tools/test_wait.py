"""The wait tool: when it parks, until when, and that a moment which has passed is not waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from noetl_stream.core.events import Sleep
from noetl_stream.ports.tools import Done, Park
from noetl_stream.tools.wait import Wait, WaitConfig
from tests.tools.conftest import call

tool = Wait()


async def waited(config: dict[str, Any], **fields: Any) -> float | None:
    """Until when it parks, in seconds since 1970; None if it does not."""
    outcome = await tool.run(call(tool, config, **fields))
    if isinstance(outcome, Done):
        return None
    assert isinstance(outcome, Park)
    assert isinstance(outcome.wait, Sleep)
    return outcome.wait.until


async def test_it_parks_for_a_while() -> None:
    assert await waited({"seconds": "90"}) == pytest.approx(time.time() + 90, abs=5)


async def test_it_parks_until_a_moment() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    for until in (later.isoformat(), later.replace(tzinfo=None).isoformat(), later.timestamp()):
        assert await waited({"until": until}) == pytest.approx(later.timestamp())


async def test_what_has_passed_is_not_waited_for() -> None:
    assert await waited({"until": "2020-01-01T00:00:00+02:00"}) is None
    assert await waited({"duration": 0}) is None


async def test_once_its_time_has_come_it_is_done() -> None:
    """It is called again by a clock that may be behind the one that woke it."""
    assert await waited({"seconds": 90}, answered=True, answer={"status": "WOKEN"}) is None


@pytest.mark.parametrize("config", [{}, {"seconds": 1, "until": 5}, {"seconds": -1}, {"until": "soon"}])
def test_a_config_is_one_moment(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WaitConfig.model_validate(config)
