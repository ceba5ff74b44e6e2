"""`noetl_stream.Client` and `AsyncClient`: a service asks, follows and fetches, on an installation of its own."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import noetl_stream
from noetl_stream import AsyncClient, Options
from noetl_stream.errors import ExecutionFailed, InfrastructureError, InvalidRequest
from noetl_stream.settings import Settings
from tests.integration.client import LIMIT, Client, installed

DAYS = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: days}
workflow:
- step: days
  tool:
    kind: duckdb
    params: {n: "{{ workload.n }}"}
    query: SELECT DATE '2026-01-01' + i::INT AS day FROM range($n) t(i)
  next: {arcs: [{step: count}]}
- step: count
  tool: {kind: noop, result: {n: "{{ days.rows | length }}"}}
"""
FAILS = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: fails}
workflow:
- step: divide
  tool: {kind: duckdb, query: SELECT nothing}
"""
WAITS = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits}
workflow:
- step: wait
  tool: {kind: callback, timeout: 3600}
"""


def of(user: Client) -> dict[str, Any]:
    """How a service reaches the same installation."""
    settings = user.platform.settings
    return {"bootstrap": settings.bootstrap, "prefix": settings.prefix, "data": settings.data}


async def test_a_table_comes_as_arrow_and_polars_with_its_types(settings: Settings) -> None:
    async with installed(settings) as user, AsyncClient(**of(user)) as client:
        await user.register(DAYS)
        execution = await client.submit("days", {"n": 200})
        outcome = await execution.wait(LIMIT)
        table, frame = await execution.arrow("days"), await execution.polars("days")
        results = await execution.result()

    assert (outcome.execution, outcome.status, outcome.error) == (execution.id, "COMPLETED", None)
    assert table.schema == pa.schema({"day": pa.date32()})
    assert frame["day"].to_list() == [date(2026, 1, 1) + timedelta(days=n) for n in range(200)]
    assert results["count"] == {"n": 200}


async def test_the_same_key_is_the_same_execution_and_its_records_are_told_to_the_end(
    settings: Settings,
) -> None:
    async with installed(settings) as user, AsyncClient(**of(user)) as client:
        await user.register(DAYS)
        first = await client.submit("days", {"n": 1}, key="monday")
        again = await client.submit("days", {"n": 2}, key="monday")
        told = [each async for each in client.execution(str(first.id)).events()]
        counted = await again.result("count", timeout=LIMIT)

    assert again.id == first.id
    assert type(told[0].event).__name__ == "ExecutionRequested"
    assert [each.folded.machine.over for each in told if each.folded.machine][-1]
    assert counted == {"n": 1}


async def test_one_that_fails_is_an_outcome_to_wait_for_and_an_error_to_ask_results_of(
    settings: Settings,
) -> None:
    async with installed(settings) as user, AsyncClient(**of(user)) as client:
        await user.register(FAILS)
        execution = await client.submit("fails")
        outcome = await execution.wait(LIMIT)
        with pytest.raises(
            ExecutionFailed, match=r"ended FAILED: .*nothing.*; see `noetl-stream events \d+`"
        ):
            await execution.result("divide")

    assert outcome.status == "FAILED"
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.step) == ("sql", "divide")


async def test_what_intake_refuses_is_told_to_who_asked(settings: Settings) -> None:
    async with installed(settings, "intake") as user, AsyncClient(**of(user)) as client:
        unknown = await client.submit("nowhere", {})
        with pytest.raises(InvalidRequest, match="no playbook 'nowhere' is in the catalog"):
            await unknown.wait(LIMIT)


async def test_a_wait_that_is_over_leaves_the_execution_to_itself_until_it_is_cancelled(
    settings: Settings,
) -> None:
    async with installed(settings) as user, AsyncClient(**of(user)) as client:
        await user.register(WAITS)
        execution = await client.submit("waits", options=Options(priority="high"))
        with pytest.raises(InfrastructureError, match=r"has not ended within 0\.5 s; it goes on"):
            await execution.wait(0.5)
        await execution.cancel("enough")
        outcome = await execution.wait(LIMIT)

    assert outcome.status == "CANCELLED"


async def test_a_step_that_left_nothing_or_no_table_is_told_with_what_to_ask_instead(
    settings: Settings,
) -> None:
    async with installed(settings) as user, AsyncClient(**of(user)) as client:
        await user.register(DAYS)
        execution = await client.submit("days", {"n": 1})
        with pytest.raises(InvalidRequest, match=r"step 'weeks' left nothing .* these did: days, count"):
            await execution.result("weeks", timeout=LIMIT)
        with pytest.raises(InvalidRequest, match="step 'count' is no table"):
            await execution.arrow("count")


async def test_code_without_a_loop_does_the_same(settings: Settings) -> None:
    async with installed(settings) as user:
        await user.register(DAYS)
        status, types, frame = await asyncio.to_thread(_without_a_loop, of(user))

    assert status == "COMPLETED"
    assert types[0] == "ExecutionRequested"
    assert frame.height == 3


def _without_a_loop(installation: dict[str, Any]) -> tuple[str, list[str], pl.DataFrame]:
    with noetl_stream.Client(**installation) as client:
        execution = client.submit("days", {"n": 3})
        types = [type(told.event).__name__ for told in execution.events()]
        return execution.wait(LIMIT).status, types, execution.polars("days")


async def test_a_client_says_what_it_needs(bootstrap: str) -> None:
    with pytest.raises(InvalidRequest, match="a client needs brokers"):
        async with AsyncClient():
            pass
    with pytest.raises(InvalidRequest, match=r"there is no nowhere\.events at .*; create it with"):
        async with AsyncClient(bootstrap, prefix="nowhere."):
            pass
