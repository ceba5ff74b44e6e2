"""Results as people read them: a table as a table, everything else as JSON, both capped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from noetl_stream.cli.documented import as_json, plain
from noetl_stream.core.values import Value

if TYPE_CHECKING:
    from rich.console import Console

ROWS, COLUMNS, LINES = 20, 10, 60
"""What is shown of a table, and of JSON."""

_PATH = 255
"""What is longer is no file's name."""

_STYLES = {"COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow", "RUNNING": "cyan"}


def console(file: TextIO | None = None) -> Console:
    """Stdout, or `file`, without rich's own ideas about `:words:` and numbers in other people's text."""
    from rich.console import Console

    return Console(file=file, emoji=False, highlight=False)


def show_report(out: Console, report: Mapping[str, Value], result: Any, files: Iterable[Path]) -> None:
    """The end of a run: what became of it, its last result (hydrated: tables are frames), and the files it wrote."""
    show_state(out, report)
    if result is not None:
        show_value(out, result)
    for file in files:
        out.print(f"wrote {file}", style="bold", markup=False, soft_wrap=True)


def show_state(out: Console, report: Mapping[str, Value]) -> None:
    """What an execution is and how it stands, in a few lines."""
    from rich.markup import escape

    status = report["status"]
    out.print(
        f"[bold]{escape(report['playbook'])}[/] version {report['version']}  [{_STYLES[status]}]{status}[/]  "
        f"execution {report['execution_id']}",
        soft_wrap=True,
    )
    if report["error"] is not None:
        out.print(error_line(report["error"]), style="red", markup=False, soft_wrap=True)


def error_line(error: Mapping[str, Value]) -> str:
    """`step 'load' failed (timeout): …`, or the same without a step."""
    where = f"step '{error['step']}' failed" if error["step"] else "failed"
    return f"{where} ({error['kind']}): {error['message']}"


def show_steps(out: Console, steps: Mapping[str, Mapping[str, Value]]) -> None:
    """The steps of a report."""
    rows = [{"step": name, **step} for name, step in steps.items()]
    if rows:
        show_table(out, rows, len(rows))


def show_results(out: Console, results: Mapping[str, Value]) -> None:
    """Each step's result under its name."""
    for name, result in results.items():
        out.print(f"{name}:", style="bold", markup=False)
        show_value(out, result)


def show_value(out: Console, value: Any) -> None:
    """A table as a table; anything else as JSON."""
    found = _as_rows(value)
    if found is not None:
        show_table(out, *found)
        return
    lines = as_json(_short(value)).splitlines()
    out.print("\n".join(lines[:LINES]), markup=False, soft_wrap=True)
    if len(lines) > LINES:
        out.print(f"… {len(lines) - LINES} more lines; --json or --report has all", style="dim")


def show_table(out: Console, rows: Sequence[Mapping[str, Value]], total: int) -> None:
    """The first rows and columns of `total` rows, and a line that says what is left out."""
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table()
    for name in columns[:COLUMNS]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in columns[:COLUMNS]))
    out.print(table)
    left_out = [f"{len(rows)} of {total} rows"] if total > len(rows) else []
    left_out += [f"{COLUMNS} of {len(columns)} columns"] if len(columns) > COLUMNS else []
    if left_out:
        out.print(f"{' and '.join(left_out)}; --json or --report has all", style="dim")


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


def written(value: Any, since: float) -> Iterator[Path]:
    """Files that results name and that were written after `since` (seconds since the epoch)."""
    match value:
        case str() if _is_new(value, since):
            yield Path(value)
        case dict():
            for each in value.values():
                yield from written(each, since)
        case list() | tuple():
            for each in value[:LINES]:
                yield from written(each, since)
        case _:
            return


def _is_new(text: str, since: float) -> bool:
    if not text or len(text) > _PATH or "\n" in text or "\0" in text:
        return False
    path = Path(text)
    return path.is_file() and path.stat().st_mtime >= int(since)
