"""A role that Faust crashed under must not linger: it would keep its partitions and deliver nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noetl_stream.agents.roles import watched
from noetl_stream.errors import InfrastructureError, InvalidRequest, NoetlError
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


@pytest.mark.parametrize("kind", [InvalidRequest, InfrastructureError])
async def test_what_is_raised_while_roles_run_comes_out_as_it_is_with_its_cause(
    kind: type[NoetlError],
) -> None:
    """The command line has one sentence and one exit code for each of our errors, and none for a group of them."""
    raised, cause = kind("a sentence"), ValueError("its cause")

    with pytest.raises(kind) as caught:
        async with watched([]):
            raise raised from cause

    assert caught.value is raised
    assert caught.value.__cause__ is cause
