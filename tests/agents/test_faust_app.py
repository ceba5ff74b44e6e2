"""What a Faust app is and leaves behind, as `new_app` makes it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from faust.types.enums import ProcessingGuarantee

from noetl_stream.adapters.admin import standing_topics
from noetl_stream.agents.app import SESSION, new_app, raw_topic
from tests.agents.members import Place


def test_a_member_that_takes_no_records_for_a_day_keeps_its_partitions(tmp_path: Path) -> None:
    """Faust revokes a slow member after its poll interval, for ever: heartbeats alone are the liveness here."""
    app = new_app("facts", "localhost:9092", data=tmp_path)
    assert app.conf.broker_max_poll_interval >= 24 * 60 * 60
    assert app.conf.broker_heartbeat_interval * 3 < app.conf.broker_session_timeout == SESSION


def test_no_offset_is_lost_to_the_newest_ones_and_none_waits_for_the_stream_to_empty(tmp_path: Path) -> None:
    app = new_app("facts", "localhost:9092", data=tmp_path)
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert not app.conf.stream_wait_empty


def test_exactly_once_tables_leader_and_web_server_are_off(tmp_path: Path) -> None:
    """`exactly_once` with tables loses their state at a rebalance; the others cost a topic, a port, a second."""
    conf: Any = new_app("facts", "localhost:9092", data=tmp_path).conf
    assert conf.processing_guarantee is ProcessingGuarantee.AT_LEAST_ONCE
    assert conf.topic_disable_leader
    assert conf.table_standby_replicas == 0
    assert not conf.web_enabled


@pytest.mark.slow
async def test_started_in_process_and_stopped_an_app_leaves_no_task_behind(
    bootstrap: str, tmp_path: Path
) -> None:
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()
    await place.produce(1)
    before = asyncio.all_tasks()
    async with member.running():
        await member.takes(1)

    assert asyncio.all_tasks() == before


@pytest.mark.slow
async def test_apps_create_no_topics_neither_their_sources_nor_any_of_their_own(
    bootstrap: str, tmp_path: Path
) -> None:
    """Faust would create sources with the broker's default partition count: ours are created explicitly, first."""
    place = await Place.create(bootstrap, tmp_path)
    member = place.member()
    raw_topic(member.app, f"{place.topic}-declared")
    await place.produce(1)
    async with member.running():
        await member.takes(1)

    standing = await standing_topics(bootstrap, place.topic)
    assert [topic.name for topic in standing] == [place.topic]
