"""Machines that share nothing but a broker and an object store, on good days and on bad ones."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from polars.testing import assert_frame_equal

from noetl_stream.core.events import BlockCompleted
from noetl_stream.replay.telling import Told
from noetl_stream.settings import Settings
from tests.cache.faulty import EXPIRED, faulty
from tests.cache.s3 import S3, s3_server
from tests.integration.client import installed
from tests.integration.conftest import settings_at
from tests.integration.demo import DEMO, Outcome, outcome
from tests.integration.processes import kill, roles
from tests.integration.test_kills import completions

# An undisturbed run of the demo, which these are held against, has a time of its own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(func_only=True)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


def on_s3(bootstrap: str, folder: Path, s3: S3, url: str) -> Settings:
    """An installation whose cache is a bucket."""
    return settings_at(bootstrap, folder).model_copy(update={"cache": url, "cache_options": s3.options})


def on_machine(settings: Settings, folder: Path) -> Settings:
    """The same installation, from a machine with a disk of its own."""
    return settings.model_copy(update={"data": folder})


def workers(told: list[Told]) -> set[str]:
    """Who ran blocks."""
    return {each.event.run.partition("/")[0] for each in told if isinstance(each.event, BlockCompleted)}


async def test_the_demo_runs_on_two_machines_that_share_a_bucket(
    embedded_bootstrap: str, s3: S3, command: Path, tmp_path: Path, undisturbed: Outcome
) -> None:
    url = f"{s3.new_bucket()}/cache"
    settings = on_s3(embedded_bootstrap, tmp_path / "client", s3, url)
    east, west = (on_machine(settings, tmp_path / place) for place in ("east", "west"))

    async with (
        installed(settings, "intake", "orchestrator") as client,
        roles(command, east) as there,
        roles(command, west) as here,
    ):
        await asyncio.gather(there.start("worker"), here.start("worker"))
        execution = await client.ask(await client.register(DEMO), {"out": str(tmp_path)})
        told = await client.told(execution)
        found = await outcome(client, await client.story(execution), tmp_path)

    assert_frame_equal(found.table, undisturbed.table)
    assert found.summary == undisturbed.summary
    assert len(workers(told)) == 2
    written = {o["path"] for o in await obstore.list(s3.store(url)).collect_async() if o["size"] > 8}
    assert {path.split("/")[1] for path in written} >= {"flights", "weather", "clean", "by_month", "reduce"}
    assert not (tmp_path / "east" / "cache").exists()


async def test_a_machine_that_dies_with_its_disk_takes_no_result_with_it(
    embedded_bootstrap: str, s3: S3, command: Path, tmp_path: Path, undisturbed: Outcome
) -> None:
    settings = on_s3(embedded_bootstrap, tmp_path / "client", s3, s3.new_bucket())
    east, west = (on_machine(settings, tmp_path / place) for place in ("east", "west"))

    async with (
        installed(settings, "intake", "orchestrator") as client,
        roles(command, east) as there,
        roles(command, west) as here,
    ):
        dying = await there.start("worker")
        execution = await client.ask(await client.register(DEMO), {"out": str(tmp_path)})
        before = await client.told(execution, until=completions(5))
        await kill(dying)
        shutil.rmtree(tmp_path / "east")
        await here.start("worker")
        told = await client.told(execution)
        found = await outcome(client, await client.story(execution), tmp_path)

    assert_frame_equal(found.table, undisturbed.table)
    assert len(workers(before)) == 1
    assert len(workers(told)) == 2


async def test_credentials_that_expire_in_mid_run_lose_nothing_once_they_are_renewed(
    embedded_bootstrap: str, s3: S3, tmp_path: Path, undisturbed: Outcome
) -> None:
    async with faulty(s3) as store:
        settings = on_s3(embedded_bootstrap, tmp_path, store.as_s3, s3.new_bucket())
        async with installed(settings) as client:
            execution = await client.ask(await client.register(DEMO), {"out": str(tmp_path)})
            await client.told(execution, until=lambda told: isinstance(told.event, BlockCompleted))
            store.always = EXPIRED
            await store.met.wait()
            store.always = None
            found = await outcome(client, await client.story(execution), tmp_path)

    assert_frame_equal(found.table, undisturbed.table)


@pytest.mark.parametrize("role", ["worker", "orchestrator", "up"])
async def test_a_role_whose_bucket_is_not_there_says_so_at_its_start(
    embedded_bootstrap: str, s3: S3, command: Path, tmp_path: Path, role: str
) -> None:
    settings = on_s3(embedded_bootstrap, tmp_path, s3, "s3://nowhere")

    async with roles(command, settings) as started:
        process = await started.begin(role)
        code = await asyncio.wait_for(process.wait(), 30)

    assert code == 3
    told = (tmp_path / f"{role}.log").read_text()
    assert "the bucket of the cache at s3://nowhere is not there (404 Not Found, NoSuchBucket)" in told
    assert "Traceback" not in told


async def test_a_run_whose_bucket_is_not_there_says_so_at_its_start(
    s3: S3, command: Path, tmp_path: Path
) -> None:
    (tmp_path / "demo.yaml").write_text(DEMO)
    variables = {
        "NOETL_STREAM_CACHE": "s3://nowhere",
        "NOETL_STREAM_CACHE_OPTIONS": ",".join(s3.options),
    }
    process = await asyncio.create_subprocess_exec(
        *(command, "run", str(tmp_path / "demo.yaml")), env=variables, stdout=PIPE, stderr=PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 3
    assert b"the bucket of the cache at s3://nowhere is not there" in told
