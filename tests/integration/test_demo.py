"""The demo on both brokers, held against what polars makes of the same files in one go."""

from __future__ import annotations

from pathlib import Path

from polars.testing import assert_frame_equal

from noetl_stream.core.values import Value
from noetl_stream.settings import Settings
from tests.integration.client import Client, installed
from tests.integration.demo import CHART, DEMO, by_polars_alone, outcome


async def test_the_demo_counts_every_flight_once(settings: Settings, tmp_path: Path) -> None:
    async with installed(settings) as client:
        story = await client.run(DEMO, {"out": str(tmp_path / "out")})
        found = await outcome(client, story, tmp_path / "out")
        largest = await _largest_record(client, story.machine.id if story.machine else 0)

    expected = by_polars_alone()
    assert_frame_equal(found.table.select(expected.columns), expected)
    assert sum(carrier["flights"] for carrier in found.summary) == 328_521
    assert _sorted_by_delay(found.summary)
    assert "<svg" in (tmp_path / "out" / CHART).read_text()
    assert story.steps["by_month"].iterations == 12
    assert largest < 64 * 1024


async def _largest_record(client: Client, execution: int) -> int:
    """Bytes: no row travels through an event."""
    return max(len(record.value or b"") for record in await client.log_of(execution))


def _sorted_by_delay(summary: Value) -> bool:
    delays = [carrier["mean_delay"] for carrier in summary]
    return delays == sorted(delays, reverse=True)
