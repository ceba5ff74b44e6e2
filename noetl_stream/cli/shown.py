"""Results as people read them: a table as a table, everything else as JSON, both capped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noetl_stream.cli.documented import as_json, plain
from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from rich.console import Console

ROWS, COLUMNS, LINES = 20, 10, 60
"""What is shown of a table, and of JSON."""

_STYLES = {"COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow", "RUNNING": "cyan"}


def show_report(console: Console, report: Mapping[str, Value], result: Any) -> None:
    """The end of a run: what became of it, and its last result. `result` is hydrated: tables are frames."""
    show_state(console, report)
    if result is not None:
        show_value(console, result)
    for path in written(result):
        console.print(f"wrote {path}", style="bold", highlight=False, markup=False)


def show_state(console: Console, report: Mapping[str, Value]) -> None:
    """What an execution is and how it stands, in a few lines."""
    status = report["status"]
    console.print(
        f"[bold]{report['playbook']}[/] version {report['version']}  [{_STYLES[status]}]{status}[/]  "
        f"execution {report['execution_id']}",
        highlight=False,
        soft_wrap=True,
    )
    if report["error"] is not None:
        console.print(error_line(report["error"]), style="red", markup=False, highlight=False, soft_wrap=True)


def error_line(error: Mapping[str, Value]) -> str:
    """`step 'load' failed (timeout): …`, or the same without a step."""
    where = f"step '{error['step']}' failed" if error["step"] else "failed"
    return f"{where} ({error['kind']}): {error['message']}"


def show_steps(console: Console, steps: Mapping[str, Mapping[str, Value]]) -> None:
    """The steps of a report."""
    rows = [{"step": name, **step} for name, step in steps.items()]
    if rows:
        show_table(console, rows, len(rows))


def show_results(console: Console, results: Mapping[str, Value]) -> None:
    """Each step's result under its name."""
    for name, result in results.items():
        console.print(f"{name}:", style="bold", markup=False, highlight=False)
        show_value(console, result)


def show_value(console: Console, value: Any) -> None:
    """A table as a table; anything else as JSON."""
    found = _as_rows(value)
    if found is not None:
        show_table(console, *found)
        return
    lines = as_json(_short(value)).splitlines()
    console.print("\n".join(lines[:LINES]), markup=False, highlight=False, soft_wrap=True)
    if len(lines) > LINES:
        console.print(f"… {len(lines) - LINES} more lines; --json or --report has all", style="dim")


def show_table(console: Console, rows: Sequence[Mapping[str, Value]], total: int) -> None:
    """The first rows and columns of `total` rows, and a line that says what is left out."""
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table()
    for name in columns[:COLUMNS]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in columns[:COLUMNS]))
    console.print(table)
    left_out = [f"{len(rows)} of {total} rows"] if total > len(rows) else []
    left_out += [f"{COLUMNS} of {len(columns)} columns"] if len(columns) > COLUMNS else []
    if left_out:
        console.print(f"{' and '.join(left_out)}; --json or --report has all", style="dim", highlight=False)


def _as_rows(value: Any) -> tuple[list[Mapping[str, Value]], int] | None:
    """The first rows of what is a table, and how many there are."""
    match value:
        case {"rows": rows, "columns": _, "row_count": _} if rows:
            return _as_rows(rows)
        case [dict(), *_] if all(isinstance(row, dict) for row in value):
            return value[:ROWS], len(value)
        case _ if _is_frame(value):
            return list(islice(iter(value), ROWS)), len(value)
        case _:
            return None


def _is_frame(value: Any) -> bool:
    return hasattr(value, "arrow") and hasattr(value, "ref")


def _short(value: Any) -> Any:
    """A value whose tables are cut to what is shown."""
    match value:
        case dict():
            return {key: _short(each) for key, each in value.items()}
        case list() | tuple():
            return [_short(each) for each in value[:LINES]]
        case _ if _is_frame(value):
            return {"rows": len(value), "first": list(islice(iter(value), 3))}
        case _:
            return value


def _cell(value: Value) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case float():
            return f"{value:g}" if abs(value) < 1e6 else f"{value:,.2f}"
        case _:
            return str(plain(value))


def written(value: Any) -> Iterator[Path]:
    """Files that a result names and that exist."""
    match value:
        case str() if "/" in value and "\n" not in value and len(value) < 1024 and Path(value).is_file():
            yield Path(value)
        case dict():
            for each in value.values():
                yield from written(each)
        case list() | tuple():
            for each in value[:LINES]:
                yield from written(each)
        case _:
            return
