"""`python -m bench.transfer`: rows between PostgreSQL, DuckDB and Parquet, beside a floor between the same kinds of ends.

The floor of files and DuckDB is DuckDB's own COPY. DuckDB's extension for PostgreSQL is not in its wheel: there the floor is
the server's own binary COPY to and from a file, which crosses no socket and converts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from bench.shown import show
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools.transfer.tool import Transfer
from tests import postgres_server

_COLUMNS = "i AS id, 'name ' || i AS name, (i * 1.37)::numeric(18, 2) AS amount, TIMESTAMPTZ '2024-01-01' + INTERVAL 1 SECOND * i AS at"


async def moved(tool: Transfer, dsn: str, source: dict[str, str], target: dict[str, str]) -> float:
    """Seconds."""
    config = tool.config.model_validate({"source": source, "target": target, "mode": "replace"})
    call = Call(
        config=config,
        input={},
        context={},
        effect_key="bench",
        timeout=None,
        execution=1,
        credentials={"auth": Secret("auth", dsn)},
    )
    began = time.perf_counter()
    await tool.run(call)
    return time.perf_counter() - began


def took(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


async def measure(rows: int, dsn: str, folder: Path) -> dict[str, float]:
    made = folder / "made.parquet"
    duckdb.sql(
        f"COPY (SELECT {_COLUMNS} FROM range({rows}) AS t(i)) TO '{made}' (FORMAT parquet, COMPRESSION zstd)"
    )
    file = {"kind": "parquet", "path": str(made)}
    out = {"kind": "parquet", "path": str(folder / "out.parquet")}
    base = {"kind": "duckdb", "database": str(folder / "ours.duckdb"), "table": "t"}
    server = {"kind": "postgres", "table": "t"}
    tool = Transfer()
    pairs = {
        "parquet to postgres": (file, server),
        "postgres to parquet": (server, out),
        "parquet to duckdb": (file, base),
        "duckdb to parquet": (base, out),
        "postgres to duckdb": (server, base),
    }
    seconds = {name: await moved(tool, dsn, *ends) for name, ends in pairs.items()}
    await tool.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    floors = _of_duckdb(made, folder) | _of_postgres(dsn)
    rates: dict[str, float] = {
        f"{name}, rows/s": round(rows / each) for name, each in (seconds | floors).items()
    }
    return rates | {"peak of this process after our transfers, MB": peak}


def _of_duckdb(made: Path, folder: Path) -> dict[str, float]:
    with duckdb.connect(str(folder / "floor.duckdb")) as there:
        load, copy = f"CREATE TABLE t AS FROM '{made}'", f"COPY t TO '{folder}/f.parquet' (COMPRESSION zstd)"
        return {
            "floor: parquet to duckdb": took(lambda: there.execute(load)),
            "floor: duckdb to parquet": took(lambda: there.execute(copy)),
        }


def _of_postgres(dsn: str) -> dict[str, float]:
    with psycopg.connect(dsn, autocommit=True) as there:
        place = there.execute("SHOW data_directory").fetchone()
        assert place is not None
        file = f"'{os.path.join(place[0], 'floor.copy')}' (FORMAT binary)"
        out = took(lambda: there.execute(f"COPY t TO {file}".encode()))
        there.execute("CREATE TABLE u (LIKE t)")
        return {
            "floor: postgres to a file": out,
            "floor: a file to postgres": took(lambda: there.execute(f"COPY u FROM {file}".encode())),
        }


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    ask.add_argument("--rows", type=int, default=10_000_000)
    ask.add_argument("--json", action="store_true")
    chosen = ask.parse_args()
    with (
        postgres_server.running() as server,
        server.database() as dsn,
        tempfile.TemporaryDirectory() as folder,
    ):
        show(asyncio.run(measure(chosen.rows, dsn, Path(folder))), as_json=chosen.json)


if __name__ == "__main__":
    main()
