"""Storage blocks at work: what stays in the log, what stays beside a reference, and in which store the rest is."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from obstore.store import MemoryStore

from noetl_stream.cache.local import LocalCache
from noetl_stream.cache.names import execution_of, expiry_of
from noetl_stream.cache.objects import ObjectCache
from noetl_stream.cache.tier import Tier
from noetl_stream.core.events import ROUTE
from noetl_stream.core.values import Piped, Ref
from noetl_stream.ports.frames import Cache
from noetl_stream.wire.codec import encode, encode_offer
from tests.worker.stage import Act, Stage, played

RECORD = 256 * 1024
LINES = [{"n": n, "text": "x" * 100} for n in range(1000)]


def saying(big: Any) -> Act:
    return Act(lambda call: big if call.config.say == "big" else call.config.say)


def largest(stage: Stage) -> int:
    """Bytes of the largest record, in the log and on its way to a pool."""
    events = [len(encode(record.event)) for record in stage.log.log]
    offers = [len(encode_offer(each)) for each in stage.offers]
    return max(events + offers)


def looked_into(stage: Stage) -> bool:
    """Whether an ending needed a worker."""
    return ROUTE in [outcome.block.iteration for outcome in stage.outcomes]


async def after(storage: str, big: Any, when: str, cache: Cache, tool: str = "kind: act, say: big") -> Stage:
    """A step `load` with a storage block, and whether `when` holds after it."""
    return await played(
        f"- step: load\n  result: {storage}\n  tool: {{{tool}}}\n"
        f"  next: {{arcs: [{{step: yes, when: '{{{{ {when} }}}}'}}, {{step: no}}]}}\n"
        "- {step: yes, tool: {kind: act, say: '{{ [load.first, load._store] }}'}}\n"
        "- {step: no, tool: {kind: act, say: no}}\n",
        cache,
        saying(big),
    )


@pytest.mark.parametrize("lines", [1, 1000])
async def test_a_selection_is_a_key_of_the_result_whether_it_is_kept_apart_or_not(
    cache: Cache, lines: int
) -> None:
    stage = await after(
        "{select: [{path: '$.items[0].text', as: first}, {path: output.total}]}",
        {"items": LINES[:lines], "total": 7},
        "load.first == load.items[0].text and load.total == 7",
        cache,
    )

    assert stage.act.said[1][0] == "x" * 100


async def test_a_condition_on_a_selection_fetches_nothing(cache: Cache) -> None:
    stage = await after(
        "{select: [{path: 'items[0].text', as: first}]}",
        {"items": LINES},
        "load.first | length == 100",
        cache,
    )

    assert stage.act.said[1] == ["x" * 100, "kv"]
    assert not looked_into(stage)


@pytest.mark.parametrize("big", [LINES, [1, 2], pl.DataFrame(LINES), pl.DataFrame({"n": [1, 2]})])
async def test_what_is_no_mapping_has_its_selections_too(cache: Cache, big: Any) -> None:
    path = "[0].text" if len(big) > 2 else "[0]"
    stage = await after(
        f"{{select: [{{path: '{path}', as: first}}]}}",
        big,
        "load.first is defined and load[1] is defined",
        cache,
    )

    assert stage.act.said[1][0] in ("x" * 100, 1, {"n": 1})


async def test_a_task_s_selection_is_read_by_the_tasks_after_it(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  tool:\n"
        "    - {name: a, kind: act, say: big, output_select: [meta.count]}\n"
        "    - {name: b, kind: act, say: '{{ a.count }}'}\n",
        cache,
        saying({"meta": {"count": 3}}),
    )

    assert stage.act.said[1] == 3


async def test_the_author_says_from_how_many_bytes_on_a_result_is_kept_apart(cache: Cache) -> None:
    small, large = {"t": "x" * 50}, {"t": "x" * 100_000}
    apart = await after("{inline_max_bytes: 10}", small, "load._ref", cache)
    within = await after("{inline_max_bytes: '{{ 120 * 1024 }}'}", large, "load._ref", cache)
    beyond = await after("{inline_max_bytes: 10000000}", {"t": "x" * 1_000_000}, "load._ref", cache)

    assert [type(stage.results["load"]) for stage in (apart, within, beyond)] == [Ref, dict, Ref]
    assert max(largest(stage) for stage in (apart, within, beyond)) < RECORD


async def test_a_loop_leaves_less_in_the_log_than_its_author_would(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  loop: {in: 3, iterator: n}\n"
        "  result: {inline_max_bytes: 100000, select: [{path: t, as: u}]}\n"
        "  tool: {kind: act, say: big}\n",
        cache,
        saying({"t": "x" * 5000}),
    )

    assert all(isinstance(each, Ref) for each in stage.results["load"]["results"])
    assert largest(stage) < 10_000


@pytest.mark.parametrize(
    ("store", "size", "told"),
    [
        ("auto", 100_000, "kv"),
        ("auto", 2_000_000, "disk"),
        ("kv", 100_000, "kv"),
        ("{kind: disk}", 100_000, "disk"),
        ("s3", 100_000, "kv"),
        ("kv", 2_000_000, "disk"),
    ],
)
async def test_a_result_tells_the_store_it_is_in(cache: Cache, store: str, size: int, told: str) -> None:
    stage = await after(
        f"{{store: {store}}}", {"first": 1, "t": "x" * size}, f'load._store == "{told}"', cache
    )

    assert stage.act.said[1] == [1, told]


async def test_a_store_that_is_not_there_is_told_once(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await played(
                "- {step: once, result: {store: gcs}, tool: {kind: act, say: big}}\n",
                cache,
                saying("x" * 70_000),
            )

    assert [record.getMessage() for record in caplog.records] == [
        "step 'once' asks for the store 'gcs'; its result goes to the cache (disk)"
    ]


@pytest.mark.parametrize("where", ["bucket: other", "prefix: elsewhere", "kind: disk, bucket: other"])
async def test_a_store_of_another_place_is_not_there_either(
    cache: Cache, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """Each step's name is its own, since a store that lacks is told once for each place."""
    step = where.replace(":", "").replace(",", "").replace(" ", "_")
    with caplog.at_level(logging.WARNING):
        stage = await played(
            f"- {{step: {step}, result: {{store: {{{where}}}}}, tool: {{kind: act, say: big}}}}\n",
            cache,
            saying("x" * 70_000),
        )

    assert len(caplog.records) == 1
    assert "its result goes to the cache (disk)" in caplog.records[0].getMessage()
    assert isinstance(stage.results[step], Ref)


async def test_the_store_that_the_cache_is_may_be_named_by_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = ObjectCache(MemoryStore(), Tier(tmp_path, 1 << 20), place="s3://team/cache/")
    with caplog.at_level(logging.WARNING):
        stage = await played(
            "- {step: load, result: {store: {kind: s3, bucket: team, prefix: cache}}, tool: {kind: act, say: big}}\n",
            bucket,
            saying("x" * 70_000),
        )

    assert caplog.records == []
    assert stage.results["load"].store == "s3"


@pytest.mark.parametrize(("ttl", "seconds"), [("60", 60), ("1h", 3600), ("'{{ days }}d'", 172_800)])
async def test_when_a_result_that_is_kept_apart_may_go_is_noted(
    cache: LocalCache, ttl: str, seconds: int
) -> None:
    began = time.time()
    stage = await played(
        "workload: {days: 2}\nworkflow:\n"
        f"- {{step: load, result: {{store: {{ttl: {ttl}}}}}, tool: {{kind: act, say: big}}, next: small}}\n"
        f"- {{step: small, result: {{store: {{ttl: {ttl}}}}}, tool: {{kind: act, say: 1}}}}\n",
        cache,
        saying({"text": "x" * 70_000, "rows": pl.DataFrame(LINES)}),
    )

    noted = [expiry_of(name) async for name in cache.names("expiring")]
    assert sorted(name for _, name in noted) == sorted(
        [name async for name in cache.names() if execution_of(name) == stage.log.execution.id]
    )
    assert len(noted) == 2
    assert all(began + seconds - 1 <= moment <= time.time() + seconds + 1 for moment, _ in noted)


async def test_what_another_step_made_is_not_given_a_shorter_life_by_who_hands_it_on(
    cache: LocalCache,
) -> None:
    await played(
        "- {step: load, tool: {kind: act, say: big}, next: on}\n"
        "- {step: on, result: {store: {ttl: 1}}, tool: {kind: act, say: '{{ load }}'}}\n",
        cache,
        saying(pl.DataFrame(LINES)),
    )

    noted = [expiry_of(name)[1] async for name in cache.names("expiring")]
    assert [name for name in noted if "/load/" in name] == []


async def test_the_log_keeps_what_it_can_hold(cache: Cache) -> None:
    stage = await after("{durable: log}", {"first": 1, "t": "x" * 100_000}, "load._ref is undefined", cache)

    assert stage.act.said[1] == [1, None]
    assert largest(stage) < RECORD


async def test_a_large_pipeline_keeps_each_task_s_result_and_its_selections(cache: Cache) -> None:
    stage = await played(
        "- step: load\n"
        "  result: {select: [{path: 'items[0].n', as: first}]}\n"
        "  tool: [{name: a, kind: act, say: 7}, {name: b, kind: act, say: big}]\n"
        "  next: [{step: more, when: '{{ load.first == 0 }}'}]\n"
        "- {step: more, tool: {kind: act, say: '{{ [load.results.a, load.results.b.first, load.items | length] }}'}}\n",
        cache,
        saying({"items": LINES}),
    )

    assert stage.act.said[2] == [7, 0, 1000]
    assert not isinstance(stage.results["load"], Piped)
    assert not looked_into(stage)


async def test_many_values_together_stay_within_a_record(cache: Cache) -> None:
    """Each would be small enough by itself."""
    sets = ", ".join(f"ctx.v{n}: '{{{{ load.t }}}}{n}'" for n in range(12))
    stage = await played(
        f"- step: load\n  tool: {{kind: act, say: big, set: {{{sets}}}}}\n  next: more\n"
        f"- step: more\n  tool: {{kind: act, say: '{{{{ load.t }}}}'}}\n  set: {{{sets.replace('ctx.v', 'ctx.w')}}}\n  next: last\n"
        "- {step: last, tool: {kind: act, say: '{{ [ctx.v11 | length, ctx.w11 | length] }}'}}\n",
        cache,
        saying({"t": "x" * 60_000}),
    )

    assert stage.act.said[-1] == [60_002, 60_002]
    assert largest(stage) < RECORD


async def test_what_an_entry_must_return_and_does_not_fails_the_task(cache: Cache) -> None:
    document = (
        "workbook: [{name: count, tool: {kind: act, say: {total: 1}}, assert: {returns: [total, mean]}}]\n"
        "workflow:\n"
        "- step: load\n"
        "  tool: {kind: workbook, name: count}\n"
        "  next: [{step: broken, on: error}]\n"
        "- {step: broken, tool: {kind: act, say: '{{ error }}'}}\n"
    )
    stage = await played(document, cache)

    error = stage.act.said[1]
    assert error["kind"] == "validation"
    assert error["message"] == ("task 'load' returned no mean, which its `assert.returns` names; return it")
