"""A role that Faust crashed under must not linger: it would keep its partitions and deliver nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.agents.roles import watched
from noetl_stream.errors import InfrastructureError
from tests.agents.members import Place

pytestmark = pytest.mark.slow


async def test_a_role_that_faust_crashed_under_ends_the_process_with_the_next_step(
    bootstrap: str, tmp_path: Path
) -> None:
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()

    async def serve() -> None:
        async with watched([member.app]):
            await member.app.crash(RuntimeError("a fault of Faust's"))
            await asyncio.Event().wait()

    async with member.running():
        with pytest.raises(InfrastructureError, match=r"crashed inside Faust; .* start it again"):
            await serve()


async def test_roles_that_are_well_are_left_alone(bootstrap: str, tmp_path: Path) -> None:
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()

    async with member.running(), watched([member.app]):
        await place.produce(1)
        await member.takes(1)

    assert not member.app.crashed
