"""The playbook tool: parks on a child, and turns its end into this task's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import Child
from noetl_stream.core.values import Error
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Done, Park
from noetl_stream.tools.playbook import Playbook
from tests.contract.cache import KEY, flights
from tests.tools.conftest import call

TOOL = Playbook()


async def park(config: dict[str, Any], **fields: Any) -> Child:
    outcome = await TOOL.run(call(TOOL, {"path": "sales/load", **config}, **fields))
    assert isinstance(outcome, Park)
    assert isinstance(outcome.wait, Child)
    return outcome.wait


async def answered(status: str, **answer: Any) -> Done | Park:
    given = {"status": status, "result": None, "error": None, "execution_id": 99, **answer}
    return await TOOL.run(call(TOOL, {"path": "sales/load"}, answer=given, answered=True))


async def test_it_asks_for_a_child_and_gives_its_slot_back() -> None:
    child = await park({"version": 3, "result_step": "sum", "timeout": 60}, input={"day": "2024-01-01"})

    assert child == Child(
        path="sales/load",
        version=3,
        input={"day": "2024-01-01"},
        identity="e1",
        wait=True,
        return_step="sum",
        timeout=60.0,
    )


@pytest.mark.parametrize("version", ["latest", None, ""])
async def test_the_newest_version_may_be_asked_for_by_name(version: str | None) -> None:
    assert (await park({"version": version})).version is None


async def test_frames_go_to_the_child_as_references(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    ref = await cache.put_table(KEY, flights())

    child = await park({}, input={"tables": [await cache.frame(ref)], "n": 1})

    assert child.input == {"tables": [ref], "n": 1}


async def test_a_table_without_a_reference_is_refused() -> None:
    with pytest.raises(
        ToolError, match="a Table cannot be handed to a playbook; pass the result of a step"
    ) as no:
        await park({}, input={"t": flights()})
    assert (no.value.kind, no.value.retryable) == ("validation", False)


async def test_a_childs_result_is_the_tasks() -> None:
    assert await answered("COMPLETED", result={"total": 5}) == Done(value={"total": 5})


async def test_without_waiting_the_result_is_the_childs_id() -> None:
    assert not (await park({"wait": False})).wait
    assert await answered("STARTED") == Done(value={"execution_id": "99", "status": "STARTED"})


async def test_a_wait_beyond_its_bound_is_a_timeout() -> None:
    waiting = call(TOOL, {"path": "sales/load", "timeout": 2}, answer={"status": "TIMED_OUT"}, answered=True)

    with pytest.raises(
        ToolError, match=r"'sales/load' did not end within 2 s and is being cancelled"
    ) as late:
        await TOOL.run(waiting)
    assert (late.value.kind, late.value.retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        ("FAILED", {"kind": "sql", "message": "no table"}, r"\(execution 99\) failed: no table; see"),
        ("FAILED", Error(kind="sql", message="no table"), r"\(execution 99\) failed: no table; see"),
        (
            "CANCELLED",
            None,
            r"the playbook 'sales/load' \(execution 99\) cancelled; see that execution's events",
        ),
    ],
)
async def test_a_child_that_fails_fails_the_task(status: str, error: Any, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence) as failed:
        await answered(status, error=error, result={"partial": 1})
    outcome = failed.value
    assert (outcome.kind, outcome.code, outcome.retryable, outcome.value) == (
        "playbook",
        status,
        False,
        {"partial": 1},
    )
