"""What append, replace and upsert leave behind, also when a transfer breaks off in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from tests.tools.conftest import Run
from tests.tools.transfer.places import Place, move, place

OLD = pa.table({"id": [1, 2], "name": ["one", "two"]})
NEW = pa.table({"id": [2, 3, 3], "name": ["TWO", "three", "THREE"]})
SQL = ("postgres", "duckdb", "sqlite")
FILES = ("parquet", "csv", "json")


async def left(run: Run, there: Place) -> list[tuple[int, str]]:
    found = (await move(run, there, None))["frame"]
    return sorted((row["id"], row["name"]) for row in found.to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("kind", SQL + FILES)
async def test_rows_are_appended_or_replace_what_was_there(
    kind: str, run: Run, tmp_path: Path, database: str
) -> None:
    there = place(kind, "there", tmp_path, database)

    await move(run, None, there, OLD)
    await move(run, None, there, NEW.slice(0, 2))
    appended = await left(run, there)
    await move(run, None, there, NEW.slice(1, 1), mode="replace")

    assert appended == [(1, "one"), (2, "TWO"), (2, "two"), (3, "three")]
    assert await left(run, there) == [(3, "three")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SQL)
async def test_an_upsert_changes_the_rows_of_its_keys_and_the_last_of_several_counts(
    kind: str, run: Run, tmp_path: Path, database: str
) -> None:
    there = place(kind, "there", tmp_path, database)

    for table in (OLD, NEW):
        await move(run, None, there, table, mode="upsert", keys=["id"])

    assert await left(run, there) == [(1, "one"), (2, "TWO"), (3, "THREE")]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("kind", SQL + FILES)
async def test_a_transfer_that_breaks_off_leaves_what_was_there(
    kind: str, mode: str, run: Run, tmp_path: Path, database: str
) -> None:
    there = place(kind, "there", tmp_path, database)
    await move(run, None, there, OLD)
    broken = broken_csv(tmp_path)

    with pytest.raises(ToolError, match=r"csv .*broken.csv: .* conversion error to int64"):
        await move(run, broken, there, mode=mode)

    assert await left(run, there) == [(1, "one"), (2, "two")]
    assert hidden(tmp_path) == []


def broken_csv(folder: Path) -> Place:
    """Its first numbers are numbers, one far behind is not."""
    path = folder / "broken.csv"
    path.write_text("id,name\n" + "7,seven\n" * 600_000 + "x,eight\n")
    return Place(end={"kind": "csv", "path": str(path)}, url=None)


def hidden(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith(".")]


async def test_a_folder_gets_one_file_a_task_however_often_it_runs(run: Run, tmp_path: Path) -> None:
    """The file is called after the task's effect: a task that runs again writes the same file again."""
    there: Any = Place(end={"kind": "parquet", "path": f"{tmp_path}/lake/"}, url=None)

    for effect in ("e1", "e1", "e2"):
        await move(run, None, there, OLD, effect=effect)
    appended = await left(run, there)
    await move(run, None, there, NEW, mode="replace", effect="e3")

    assert appended == [(1, "one"), (1, "one"), (2, "two"), (2, "two")]
    assert await left(run, there) == [(2, "TWO"), (3, "THREE"), (3, "three")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SQL)
async def test_a_transfer_that_runs_again_under_its_key_moves_nothing(
    kind: str, run: Run, tmp_path: Path, database: str
) -> None:
    there = place(kind, "there", tmp_path, database)

    first = await move(run, None, there, OLD, once=True)
    again = await move(run, None, there, OLD, once=True)
    await move(run, None, there, NEW, once=True, effect="another")

    assert again["rows"] == first["rows"] == 2
    assert len(await left(run, there)) == 5


async def test_a_file_keeps_no_keys(run: Run, tmp_path: Path) -> None:
    there = place("parquet", "there", tmp_path, "")

    with pytest.raises(ToolError, match="a parquet target keeps no keys of effects"):
        await move(run, None, there, OLD, once=True)


@pytest.mark.slow
async def test_columns_are_mapped_to_the_targets(run: Run, tmp_path: Path, database: str) -> None:
    there = place("postgres", "there", tmp_path, database)

    await move(run, None, there, OLD, mapping={"name": "name", "number": "id"})
    found = (await move(run, there, None))["frame"]

    assert found.to_pylist() == [{"name": "one", "number": 1}, {"name": "two", "number": 2}]
