"""The installation's own playbooks: what failed is told to a service, and no other pool does chores."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from noetl_stream.wiring import Platform
from noetl_stream.wiring_chores import PLAYBOOKS, register_chores
from tests.playbooks.examples import ALERT, Example
from tests.playbooks.test_examples import ran
from tests.tools.http_server import serving

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ELSEWHERE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: elsewhere, path: tests/elsewhere}
workflow:
  - step: look
    tool: {kind: system, chore: failed_executions}
"""


async def test_a_failure_is_told_to_the_service_that_is_named(platform: Platform) -> None:
    failed, _ = await ran(platform, Example(file="37_deadline.yaml", path=("wait",)))

    with serving() as service:
        report, result = await ran(platform, replace(ALERT, payload={"webhook": service.url}))

    assert (report["error"], tuple(report["path"])) == (None, ALERT.path)
    body = service.seen[0]["body"]
    assert isinstance(body, bytes)
    told = {each["execution_id"]: each for each in json.loads(body)["executions"]}
    assert told[failed["execution_id"]]["playbook"] == "examples/deadline"
    assert told[failed["execution_id"]]["kind"] == "timeout"
    assert result == {"failed": len(told), "told": True}


async def test_what_failed_long_ago_is_no_news(platform: Platform) -> None:
    report, result = await ran(platform, replace(ALERT, payload={"within": 0.000001}))

    assert tuple(report["path"]) == ("look", "report")
    assert result == {"failed": 0, "told": False}


async def test_what_a_killed_worker_left_is_cleared_and_a_living_one_keeps_its_own(
    platform: Platform,
) -> None:
    left = platform.settings.scratch / "left"
    (left / "child-1").mkdir(parents=True)
    (left / "child-1" / "half").write_text("a result")
    own = {each for each in platform.settings.scratch.iterdir() if each.is_dir()} - {left}

    report, result = await ran(platform, Example(file="system/clear_scratch.yaml", path=("clear",)))

    assert (report["error"], result) == (None, {"removed": 1})
    assert not left.exists()
    assert own
    assert all(each.is_dir() for each in own)


async def test_other_pools_do_no_chores(platform: Platform) -> None:
    await platform.catalog.register("tests/elsewhere", ELSEWHERE)

    report, _ = await ran(platform, Elsewhere(file="", path=()))

    assert (report["error"]["step"], report["error"]["kind"]) == ("look", "not_installed")


async def test_registering_them_again_makes_no_new_version(platform: Platform) -> None:
    await register_chores(platform)
    await register_chores(platform)

    names = [f"system/{file.stem}" for file in sorted(PLAYBOOKS.glob("*.yaml"))]
    found = [platform.catalog.lookup(name) for name in names]
    assert len(names) >= 3
    assert [entry.version for entry in found if entry is not None] == [1] * len(names)


class Elsewhere(Example):
    """A playbook that no file has."""

    @property
    def catalog_path(self) -> str:
        return "tests/elsewhere"
