"""A million rows in bounded memory, and a killed transfer: each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MOVE = """
import asyncio, resource, sys
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.transfer.tool import Transfer

async def main(source, target, dsn):
    tool = Transfer()
    config = tool.config.model_validate({"source": source, "target": target, "mode": "replace"})
    secrets = {"auth": Secret("auth", dsn)}
    call = Call(config=config, input={}, context={}, effect_key="e", timeout=None, execution=1, credentials=secrets)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = await tool.run(call)
    print(done.value["rows"], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    await tool.close()

asyncio.run(main(eval(sys.argv[1]), eval(sys.argv[2]), sys.argv[3]))
"""
ROWS = 1_000_000


def moving(source: dict[str, str], target: dict[str, str], dsn: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", MOVE, repr(source), repr(target), dsn]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def filled(path: Path, rows: int) -> dict[str, str]:
    """A file of about 120 bytes a row."""
    writer: pq.ParquetWriter | None = None
    for first in range(0, rows, 50_000):
        numbers = range(first, min(first + 50_000, rows))
        table = pa.table({"id": numbers, "text": [f"{n:0100d}" for n in numbers]})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return {"kind": "parquet", "path": str(path)}


@pytest.mark.slow
def test_a_million_rows_take_the_memory_of_a_few_batches(database: str, tmp_path: Path) -> None:
    """Both ways: 120 MB of rows, and no more of them at once than travel."""
    here = filled(tmp_path / "here.parquet", ROWS)
    table = {"kind": "postgres", "table": "big"}

    for source, target in (
        (here, table),
        (table, {"kind": "parquet", "path": str(tmp_path / "there.parquet")}),
    ):
        told, _ = moving(source, target, database).communicate(timeout=50)
        rows, megabytes = map(int, told.split())
        assert rows == ROWS
        assert megabytes < 350


@pytest.mark.slow
def test_a_killed_transfer_leaves_the_old_rows(database: str, tmp_path: Path) -> None:
    here = filled(tmp_path / "here.parquet", ROWS)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1::bigint AS id, 'old' AS text")
        process = moving(here, {"kind": "postgres", "table": "kept"}, database)
        copying = "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 100000"
        with psycopg.connect(database, autocommit=True) as watcher:
            while process.poll() is None and watcher.execute(copying).fetchone() == (0,):
                os.sched_yield()
        process.send_signal(signal.SIGKILL)
        process.communicate()

        assert process.returncode == -signal.SIGKILL
        assert connection.execute("SELECT text FROM kept").fetchall() == [("old",)]
