"""What every cache owes, whatever it stands on. An adapter inherits this suite and gives its `cache` fixture."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.cache.names import EXPIRING, execution_of, expiry_of, name_of
from noetl_stream.core.events import BlockId
from noetl_stream.core.run import loop_name
from noetl_stream.core.values import Elsewhere, Ref
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache, FrameKey, Sweepable

KEY = FrameKey(execution=7, block=BlockId("load", 0, 0), attempt=1)


def flights() -> pa.Table:
    return pa.table({"carrier": ["AA", "UA", "AA"], "delay": [3, None, 12]})


class CacheContract:
    async def test_a_table_comes_back_as_it_was(self, cache: Cache) -> None:
        ref = await cache.put_table(KEY, flights(), {"rows": 3})

        frame = await cache.frame(ref)

        assert frame.arrow().equals(flights())
        assert (ref.rows, ref.format, ref.parts) == (3, "arrow", {"rows": 3})

    async def test_a_frame_is_a_list_of_rows(self, cache: Cache) -> None:
        frame = await cache.frame(await cache.put_table(KEY, flights()))

        assert len(frame) == 3
        assert frame[0] == {"carrier": "AA", "delay": 3}
        assert frame[-1] == {"carrier": "AA", "delay": 12}
        assert [row["delay"] for row in frame] == [3, None, 12]

    async def test_a_row_beyond_the_end_is_an_index_error(self, cache: Cache) -> None:
        frame = await cache.frame(await cache.put_table(KEY, flights()))

        with pytest.raises(IndexError, match="row 3 of 3"):
            frame[3]

    async def test_a_frame_is_a_file_that_a_subprocess_can_open(self, cache: Cache) -> None:
        frame = await cache.frame(await cache.put_table(KEY, flights()))

        assert pl.read_ipc(frame.path()).height == 3

    async def test_polars_scans_the_same_bytes(self, cache: Cache) -> None:
        frame = await cache.frame(await cache.put_table(KEY, flights()))

        total = frame.polars().filter(pl.col("carrier") == "AA").select(pl.col("delay").sum()).collect()

        assert total.item() == 15

    async def test_every_type_of_polars_reaches_pyarrow_and_duckdb(self, cache: Cache) -> None:
        source = pl.DataFrame(
            {
                "text": ["a", "bb"],
                "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
                "size": pl.Series(["s", "m"], dtype=pl.Enum(["s", "m"])),
                "price": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
                "at": [datetime(2024, 1, 1, tzinfo=UTC), None],
                "tags": [["p"], []],
                "who": [{"name": "n"}, {"name": "m"}],
                "raw": [b"1", b"2"],
            }
        )
        newest = source.to_arrow(compat_level=pl.CompatLevel.newest())

        frame = await cache.frame(await cache.put_table(KEY, newest))

        table = frame.arrow()
        assert not any(pa.types.is_string_view(field.type) for field in table.schema)
        assert duckdb.from_arrow(table).aggregate("sum(price), max(len(text))").fetchall() == [
            (Decimal("1.50"), 2)
        ]
        assert frame.polars().collect().equals(source)

    async def test_chunks_with_their_own_dictionaries_are_one_table(self, cache: Cache) -> None:
        chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
        table = pa.table({"letter": pa.chunked_array(chunks)})

        frame = await cache.frame(await cache.put_table(KEY, table))

        assert [row["letter"] for row in frame] == ["a", "b", "c", "a"]

    async def test_a_table_without_rows_keeps_its_columns(self, cache: Cache) -> None:
        frame = await cache.frame(await cache.put_table(KEY, flights().slice(0, 0)))

        assert (len(frame), list(frame), frame.arrow().column_names) == (0, [], ["carrier", "delay"])

    async def test_json_comes_back_with_the_references_in_it(self, cache: Cache) -> None:
        ref = await cache.put_table(KEY, flights())
        loop = Ref(uri="u", bytes=1, sha256="", format="chunks", elsewhere=(Elsewhere(17, 1, "single"),))
        value = {"rows": ref, "loop": loop, "seven": "007", "nested": [None, True, 1.5, {"again": ref}]}

        stored = await cache.put_json(KEY, value)

        assert await cache.json(stored) == value
        assert stored.format == "json"

    async def test_what_is_not_json_is_refused(self, cache: Cache) -> None:
        with pytest.raises(ToolError, match="cannot be stored: a object is not JSON") as refused:
            await cache.put_json(KEY, {"x": object()})
        assert refused.value.kind == "validation"

    async def test_the_same_content_under_one_key_is_one_object(self, cache: Cache) -> None:
        first, second = [await cache.put_table(KEY, flights()) for _ in range(2)]

        assert first == second

    async def test_two_contents_under_one_key_are_two_objects(self, cache: Cache) -> None:
        first, second = await cache.put_json(KEY, 1), await cache.put_json(KEY, 2)

        assert [await cache.json(first), await cache.json(second)] == [1, 2]

    @pytest.mark.parametrize("step", ["a/b", "..", ".", "", "ünï çode", "x" * 300, "a=2Fb", "c:\\d*?", "\0"])
    async def test_a_step_may_be_called_anything(self, cache: Cache, step: str) -> None:
        ref = await cache.put_json(replace(KEY, block=BlockId(step, 0, 0)), step)

        assert await cache.json(ref) == step

    async def test_odd_names_do_not_meet(self, cache: Cache) -> None:
        names = ["a/b", "a=2Fb", "x" * 300, "x" * 301]
        refs = [await cache.put_json(replace(KEY, block=BlockId(n, 0, 0)), 1) for n in names]

        assert len({ref.uri for ref in refs}) == len(names)

    async def test_a_missing_object_is_named(self, cache: Cache) -> None:
        ref = await cache.put_json(KEY, 1)
        absent = replace(ref, uri=ref.uri.replace("7/load", "8/load"))

        with pytest.raises(ToolError, match=r"cache:8/load/.* is gone from the cache") as missing:
            await cache.json(absent)
        assert (missing.value.kind, missing.value.retryable) == ("client_error", False)

    async def test_a_missing_table_is_named(self, cache: Cache) -> None:
        ref = await cache.put_table(KEY, flights())

        with pytest.raises(ToolError, match="is gone from the cache"):
            await cache.frame(replace(ref, uri=ref.uri.replace("7/load", "8/load")))

    @pytest.mark.parametrize(
        "uri", ["cache:../../etc/passwd", "file:///etc/passwd", "cache:a/../b/x-0123456789abcdef.json", ""]
    )
    async def test_nothing_outside_the_cache_can_be_named(self, cache: Cache, uri: str) -> None:
        with pytest.raises(ToolError, match="is no reference into the cache"):
            await cache.json(Ref(uri=uri, bytes=0, sha256="", format="json"))

    async def test_a_claim_is_won_once(self, cache: Cache) -> None:
        won = await asyncio.gather(*(cache.create("7/load/0/0", str(run).encode()) for run in range(8)))

        assert sorted(won) == [False] * 7 + [True]

    async def test_a_claim_repeated_after_an_answer_got_lost_is_still_its_makers(self, cache: Cache) -> None:
        """The first attempt was done and not heard; nobody else writes the same content."""
        await cache.create("7/load/0/0", b"run 1")

        assert await cache.create("7/load/0/0", b"run 1")
        assert not await cache.create("7/load/0/0", b"run 2")

    async def test_what_was_created_by_name_is_read_by_name(self, cache: Cache) -> None:
        await cache.create("loops/7/load/0/3", b"[1]")

        assert await cache.read("loops/7/load/0/3") == b"[1]"

    async def test_a_name_that_nobody_created_is_an_error_that_names_it(self, cache: Cache) -> None:
        with pytest.raises(ToolError, match="no object 'loops/7/load/0/4'"):
            await cache.read("loops/7/load/0/4")


class SweepableContract:
    """What a cache owes to whoever sweeps it."""

    async def test_what_may_go_is_noted_and_stays_until_it_is_removed(self, cache: Sweepable) -> None:
        ref, other = await cache.put_json(KEY, {"n": 1}), await cache.put_table(KEY, flights())
        theirs = await cache.put_json(replace(KEY, attempt=2), 2)
        await cache.expire(KEY, [ref, theirs], 1_700_000_000.4)
        await cache.expire(KEY, [ref], 1_700_000_000.4)

        (note,) = [name async for name in cache.names(EXPIRING)]
        assert expiry_of(note) == (1_700_000_000.0, name_of(ref))
        assert await cache.json(ref) == {"n": 1}

        await cache.remove([note, name_of(ref)])
        await cache.remove([note])
        assert sorted([name async for name in cache.names()]) == sorted([name_of(other), name_of(theirs)])
        with pytest.raises(ToolError, match="is gone from the cache"):
            await cache.json(ref)

    async def test_an_object_tells_whose_it_is(self, cache: Sweepable) -> None:
        await cache.put_json(KEY, 1)
        await cache.create(f"{loop_name(8, 'a/b', 0)}/3", b"x")
        await cache.create("effects", b"x")

        assert sorted(map(str, [execution_of(name) async for name in cache.names()])) == ["7", "8", "None"]
