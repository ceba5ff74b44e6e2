"""What people see of results."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from noetl_stream.cli.documented import as_json, documented, iso, plain
from noetl_stream.cli.shown import console, error_line, show_value, written
from noetl_stream.core.events import BlockId
from noetl_stream.core.values import Ref


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def shown(value: Any) -> list[str]:
    out = io.StringIO()
    show_value(console(out), value)
    return out.getvalue().splitlines()


def test_rows_are_a_table_that_says_what_it_leaves_out() -> None:
    lines = shown([{f"c{column}": row for column in range(12)} for row in range(50)])

    assert [cell.strip() for cell in lines[1].strip("┃").split("┃")] == [f"c{column}" for column in range(10)]
    assert len([line for line in lines if line.startswith("│")]) == 20
    assert lines[-1] == "20 of 50 rows and 10 of 12 columns; --json or --report has all"


def test_the_result_of_an_sql_tool_is_its_rows() -> None:
    lines = shown({"command_0": {}, "rows": [{"a": 1}], "columns": ["a"], "row_count": 1})

    assert [line.strip("┃│ ") for line in lines if "a" in line or "1" in line] == ["a", "1"]


def test_text_that_looks_like_markup_is_text() -> None:
    assert any("[red]:smile:" in line for line in shown([{"[bold]a": "[red]:smile:"}]))
    assert shown("[red]:smile:") == ['"[red]:smile:"']


def test_long_json_is_cut_with_a_word_about_the_rest() -> None:
    lines = shown({f"key{number}": number for number in range(100)})

    assert len(lines) == 61
    assert lines[-1] == "… 42 more lines; --json or --report has all"


def test_only_files_that_are_new_were_written(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.touch()
    new.touch()
    os.utime(old, (1_000, 1_000))
    result = {"files": [str(old), str(new), "no file"], "text": "a\nb", "number": 1, "empty": ""}

    assert list(written(result, since=2_000)) == [new]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1767225599.9996, "2026-01-01T00:00:00.000Z"),
        (1767225599.1234, "2025-12-31T23:59:59.123Z"),
    ],
)
def test_a_time_is_iso_in_utc_rounded_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert iso(seconds) == text


def test_a_report_keeps_its_keys_in_their_order() -> None:
    report = {"a": 1, "started_at": 0.0, "finished_at": None, "z": 2}

    assert list(documented(report).items()) == [
        ("a", 1),
        ("started_at", "1970-01-01T00:00:00.000Z"),
        ("finished_at", None),
        ("z", 2),
    ]


def test_a_reference_is_said_as_one() -> None:
    reference = Ref(uri="cache:a", bytes=9, sha256="", format="arrow", rows=3)

    assert plain({BlockId("s", 0, 1): (reference,)}) == {
        "s/0/1": [{"_ref": "cache:a", "format": "arrow", "rows": 3, "bytes": 9}]
    }
    assert as_json("ü") == '"ü"'


@pytest.mark.parametrize(
    ("step", "said"), [("load", "step 'load' failed (sql): no"), (None, "failed (sql): no")]
)
def test_an_error_is_one_line(step: str | None, said: str) -> None:
    assert error_line({"step": step, "kind": "sql", "message": "no"}) == said
