"""Every error and warning of the language says what is wrong, where, and what to do, in exactly these words."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from tests.dsl.kinds import problems, warnings
from tests.promises.error_rows import DOUBTED, PAYLOAD, PLAYED, REFUSED, ErrorRow
from tests.worker.stage import played


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_what_is_refused_is_told_at_its_place(row: ErrorRow) -> None:
    assert f"sales.yaml:{row.told}" in [str(each) for each in problems(row.document)]


@pytest.mark.parametrize("row", DOUBTED, ids=lambda row: row.id)
def test_what_is_doubtful_is_told_at_its_place(row: ErrorRow) -> None:
    assert f"sales.yaml:{row.told}" in warnings(row.document)


@pytest.mark.parametrize("row", PLAYED, ids=lambda row: row.id)
async def test_what_fails_while_it_runs_names_its_step_key_and_expression_and_no_value(
    row: ErrorRow, tmp_path: Path
) -> None:
    stage = await played(row.document, LocalCache(tmp_path), payload=PAYLOAD)

    error = stage.log.error
    assert error is not None
    assert (error.kind, error.step, error.message) == ("validation", "a", row.told)
    assert "hunter2" not in repr(stage.log.execution.ended)


def test_no_row_stands_twice() -> None:
    for rows in (REFUSED, DOUBTED, PLAYED):
        assert len({row.id for row in rows}) == len(rows)
