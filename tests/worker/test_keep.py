"""Where a value goes: small JSON into the event, all else into the cache, and back to blocks as it was."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.core.events import BlockId
from noetl_stream.core.values import Ref
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.wire.values import encode_value
from noetl_stream.worker.hydrate import hydrate
from noetl_stream.worker.keep import frames_of, keep

KEY = FrameKey(execution=7, block=BlockId("load", 0, 0), attempt=0)


def table(rows: int) -> pa.Table:
    return pa.table({"n": range(rows), "day": [date(2013, 1, 1)] * rows})


async def test_small_json_stays_what_it_is(cache: Cache) -> None:
    value = {"n": [1, None, "007", {"deep": True}]}

    assert await keep(cache, KEY, value, inline_limit=1024) is value


async def test_what_is_over_the_limit_becomes_a_reference_with_the_parts_that_others_read(
    cache: Cache,
) -> None:
    value = {"rows": [{"n": n} for n in range(1000)], "total": 1000}

    ref = await keep(
        cache, KEY, value, inline_limit=1024, paths=[("total",), ("rows", "0", "n"), ("missing",), ("rows",)]
    )

    assert isinstance(ref, Ref)
    assert ref.parts == {"total": 1000, "rows.0.n": 0, "missing?": False}
    assert await hydrate(cache, ref) == value


async def test_the_limit_is_of_the_bytes_as_they_stand_in_the_event(cache: Cache) -> None:
    text = "x" * 98

    assert await keep(cache, KEY, text, inline_limit=100) == text
    assert isinstance(await keep(cache, KEY, text, inline_limit=99), Ref)


async def test_a_table_is_always_a_reference_and_a_small_one_carries_its_rows(cache: Cache) -> None:
    small, large = [await keep(cache, KEY, table(n), inline_limit=65536) for n in (2, 101)]

    assert small.parts == {"": [{"n": 0, "day": "2013-01-01"}, {"n": 1, "day": "2013-01-01"}]}
    assert (large.format, large.rows, large.parts) == ("arrow", 101, {})


async def test_of_a_large_table_only_near_rows_are_parts(cache: Cache) -> None:
    ref = await keep(cache, KEY, table(5000), inline_limit=65536, paths=[("0", "n"), ("4000", "n"), ("x",)])

    assert ref.parts == {"0.n": 0}


async def test_tables_anywhere_in_a_value_are_stored_once_each(cache: Cache) -> None:
    rows = pl.DataFrame({"n": [1, 2]})
    value = {"rows": rows, "again": [{"rows": rows}], "count": 2}

    stored = await keep(cache, KEY, value, inline_limit=65536)

    assert isinstance(stored["rows"], Ref)
    assert stored["again"][0]["rows"] is stored["rows"]
    assert stored["count"] == 2


async def test_a_lazy_frame_is_collected_and_stored(cache: Cache) -> None:
    ref = await keep(cache, KEY, pl.LazyFrame({"n": [1, 2, 3]}), inline_limit=65536)

    assert (await cache.frame(ref)).arrow().column("n").to_pylist() == [1, 2, 3]


async def test_a_frame_passes_through_by_its_reference(cache: Cache) -> None:
    ref = await keep(cache, KEY, table(500), inline_limit=65536)
    frame = await hydrate(cache, ref)

    assert await keep(
        cache, FrameKey(execution=8, block=KEY.block, attempt=0), {"rows": frame}, inline_limit=1024
    ) == {"rows": ref}


async def test_large_json_around_a_table_is_one_reference_that_holds_another(cache: Cache) -> None:
    value = {"rows": table(200), "text": "x" * 2000}

    ref = await keep(cache, KEY, value, inline_limit=1024)
    found = await hydrate(cache, ref)

    assert ref.format == "json"
    assert len(found["rows"]) == 200
    assert found["text"] == value["text"]


async def test_a_tools_tables_are_frames_to_the_templates_after_it(cache: Cache) -> None:
    found = await frames_of(cache, KEY, {"rows": table(3)}, inline_limit=65536, paths=())

    assert found["rows"][2]["n"] == 2
    assert found["rows"].arrow().num_rows == 3


async def test_a_value_that_cannot_be_written_down_is_told_at_once(cache: Cache) -> None:
    with pytest.raises(ToolError, match="the tool returned not a JSON value") as refused:
        await frames_of(cache, KEY, {"n": 2**70}, inline_limit=65536, paths=())
    assert refused.value.kind == "validation"


@pytest.mark.parametrize(
    "mark", [{"__ref__": {"uri": "cache:x"}}, {"__ref__": 1, "other": 2}, {"__ref__~": 1}]
)
async def test_no_value_of_a_users_passes_for_a_reference(cache: Cache, mark: dict[str, Any]) -> None:
    stored = await keep(cache, KEY, {"text": "x" * 2000, "mark": mark}, inline_limit=100)

    assert (await hydrate(cache, stored))["mark"] == mark
    assert await frames_of(cache, KEY, mark, inline_limit=100, paths=()) == mark


async def test_what_holds_no_reference_is_handed_on_uncopied(cache: Cache) -> None:
    value = {"rows": [{"n": 1}]}

    assert await hydrate(cache, value) is value


async def test_a_lost_object_is_an_error_that_names_it(cache: Cache) -> None:
    gone = Ref(uri="cache:7/load/0/0/0/result-0123456789abcdef.json", bytes=9, sha256="", format="json")

    with pytest.raises(ToolError, match=r"result-0123456789abcdef\.json is gone from the cache"):
        await hydrate(cache, {"rows": [gone]})


async def test_a_loop_is_put_together_from_its_chunks(cache: Cache) -> None:
    inner = await cache.put_json(KEY, "behind a reference")
    await cache.create("loops/7/s/0/0", encode_value(list(range(1000))))
    await cache.create("loops/7/s/0/1", encode_value([inner, 1001]))
    parts = {"stats": {"total": 1002}, "stats.total": 1002, "count": 1002, "status": "ok"}

    found = await hydrate(
        cache, Ref(uri="loops/7/s/0", bytes=1, sha256="", format="chunks", rows=1002, parts=parts)
    )

    assert found["results"][999:] == [999, "behind a reference", 1001]
    assert found["data"] == found["results"]
    assert (found["stats"], found["count"], found["status"]) == ({"total": 1002}, 1002, "ok")
    assert "stats.total" not in found
