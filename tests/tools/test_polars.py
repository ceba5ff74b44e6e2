"""The polars tool over frames, rows, columns and SQL results."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import ValidationError

from noetl_stream.errors import ToolError
from noetl_stream.tools.polars import Polars, PolarsConfig
from noetl_stream.tools.warm.pool import WarmPool
from tests.contract.cache import flights
from tests.tools.conftest import Run, runner

pytestmark = pytest.mark.slow


@pytest.fixture
def run(pool: WarmPool) -> Run:
    return runner(Polars(pool))


SHAPES = {
    "table": flights(),
    "rows": flights().to_pylist(),
    "columns": flights().to_pydict(),
    "sql result": {"rows": flights(), "columns": ["carrier", "delay"], "row_count": 3, "command_0": {}},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "config",
    [
        {"code": "result = flights.group_by('carrier').agg(pl.col('delay').sum()).sort('carrier')"},
        {"code": "late = flights.group_by('carrier')\nlate.agg(pl.sum('delay')).sort('carrier')"},
        {"code": "return flights.group_by('carrier').agg(pl.sum('delay')).sort('carrier')"},
        {
            "sql": "SELECT carrier, COALESCE(SUM(delay), 0) AS delay FROM flights GROUP BY carrier ORDER BY carrier"
        },
    ],
)
async def test_every_table_is_a_lazy_frame_by_its_name(run: Run, shape: str, config: dict[str, Any]) -> None:
    table = await run(config, input={"flights": SHAPES[shape]})

    assert isinstance(table, pa.Table)
    assert table.to_pylist() == [{"carrier": "AA", "delay": 15}, {"carrier": "UA", "delay": 0}]


async def test_other_inputs_stay_what_they_are(run: Run) -> None:
    config = {"code": "{'n': flights.filter(pl.col('delay') > least).collect().height, 'least': least}"}

    assert await run(config, input={"flights": flights(), "least": 5}) == {"n": 1, "least": 5}


async def test_rows_of_mixed_numbers_get_one_type(run: Run) -> None:
    rows = [{"a": 1}] * 200 + [{"a": 2.5, "b": "late"}]

    table = await run({"code": "f.select(pl.sum('a'), pl.col('b').count())"}, input={"f": rows})

    assert table.to_pylist() == [{"a": 202.5, "b": 1}]


async def test_what_is_written_is_read_by_all(run: Run) -> None:
    """No string views, and categories survive."""
    code = "pl.LazyFrame({'s': ['a'], 'c': pl.Series(['x'], dtype=pl.Categorical)})"

    table = await run({"code": code})

    assert not any(pa.types.is_string_view(field.type) for field in table.schema)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    assert dict(frame.schema) == {"s": pl.String, "c": pl.Categorical}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"code": "flights.select('nope').collect()"},
            r"ColumnNotFoundError: .*nope.* \(line 1 of the code\)",
        ),
        ({"code": "flights.select('nope')"}, r"ColumnNotFoundError: .*nope"),
        ({"sql": "SELECT * FROM nowhere"}, r"SQLInterfaceError: .*nowhere"),
    ],
)
async def test_a_wrong_query_is_told(run: Run, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence) as failed:
        await run(config, input={"flights": flights()})
    assert (failed.value.kind, failed.value.retryable) == ("python", False)


async def test_a_query_without_end_is_stopped(run: Run) -> None:
    with pytest.raises(ToolError, match=r"the polars task ran longer than 0.5 s") as stopped:
        await run({"code": "while True: pass"}, timeout=0.5)
    assert stopped.value.kind == "timeout"


@pytest.mark.parametrize("config", [{}, {"code": "1", "sql": "2"}])
def test_a_config_is_code_or_sql(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="polars needs `code` or `sql`, and not both"):
        PolarsConfig.model_validate(config)
