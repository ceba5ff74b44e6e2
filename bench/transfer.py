"""`python -m bench.transfer`: rows between PostgreSQL, DuckDB and Parquet, each pair beside DuckDB's own COPY between the same ends.

Each transfer and each floor is a process of its own, one after the other, so that its peak of memory is its own. DuckDB's
extension for PostgreSQL is not in its wheel; a wheel of its own has it for one version, which has an environment to itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

import duckdb
import psycopg

from bench.shown import show
from tests import postgres_server

_COLUMNS: Final = "i AS id, 'name ' || i AS name, (i * 1.37)::numeric(18, 2) AS amount, TIMESTAMPTZ '2024-01-01' + INTERVAL 1 SECOND * i AS at"
_FLOOR: Final = ("duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5")
_EXTENSION: Final = "lib/*/site-packages/duckdb_extension_postgres_scanner/**/*.duckdb_extension"
PAIRS: Final = (
    "parquet to postgres",
    "postgres to parquet",
    "parquet to duckdb",
    "duckdb to parquet",
    "postgres to duckdb",
    "duckdb to postgres",
)


class Ground:
    """The rows at every kind of end, and places for copies of them."""

    def __init__(self, folder: Path, dsn: str, floor: Path) -> None:
        """`floor` is an environment with what `_FLOOR` names."""
        self._folder, self._dsn, self._floor = folder, dsn, floor
        self._made = folder / "made.parquet"

    def make(self, rows: int) -> None:
        query = f"SELECT {_COLUMNS} FROM range({rows}) AS t(i)"
        duckdb.sql(f"COPY ({query}) TO '{self._made}' (FORMAT parquet, COMPRESSION zstd)")
        with duckdb.connect() as there:
            # The floor is an older DuckDB, which has to read it too.
            there.execute(f"ATTACH '{self._folder}/made.duckdb' AS made (STORAGE_VERSION 'v1.0.0')")
            there.execute(f"CREATE TABLE made.t AS FROM '{self._made}'")
        self.floor("parquet to postgres")
        with psycopg.connect(self._dsn, autocommit=True) as server:
            server.execute("ALTER TABLE floor RENAME TO made")
            server.execute("VACUUM ANALYZE made")

    def clear(self) -> None:
        """Nothing is left of an earlier round, and nothing of it waits to be written."""
        for name in ("floor.parquet", "floor.duckdb", "ours.parquet", "ours.duckdb"):
            (self._folder / name).unlink(missing_ok=True)
        with psycopg.connect(self._dsn, autocommit=True) as server:
            server.execute("DROP TABLE IF EXISTS floor, ours")
            server.execute("CHECKPOINT")

    def ours(self, pair: str) -> list[float]:
        ends = json.dumps(self._ends(pair))
        return _told([sys.executable, "-m", "bench.transfer_ours", ends, self._dsn])

    def floor(self, pair: str) -> list[float]:
        script, extension = Path(__file__).with_name("transfer_floor.py"), next(self._floor.glob(_EXTENSION))
        words = [self._floor / "bin/python", script, pair, self._made, self._folder, self._dsn, extension]
        return _told([str(each) for each in words])

    def _ends(self, pair: str) -> list[dict[str, str]]:
        source, _, target = pair.partition(" to ")
        sources = {
            "parquet": {"path": str(self._made)},
            "duckdb": {"database": f"{self._folder}/made.duckdb", "table": "t"},
            "postgres": {"table": "made"},
        }
        targets = {
            "parquet": {"path": f"{self._folder}/ours.parquet"},
            "duckdb": {"database": f"{self._folder}/ours.duckdb", "table": "ours"},
            "postgres": {"table": "ours"},
        }
        return [{"kind": source, **sources[source]}, {"kind": target, **targets[target]}]


def measured(pair: str, rows: int, rounds: int, ground: Ground) -> dict[str, float]:
    both = []
    for _ in range(rounds):
        ground.clear()
        both.append((ground.ours(pair), ground.floor(pair)))
    ours, theirs = (min(each[n][0] for each in both) for n in (0, 1))
    return {
        f"{pair}, rows/s": round(rows / ours),
        f"{pair}, DuckDB's own, rows/s": round(rows / theirs),
        f"{pair}, times its time": round(statistics.median(a[0] / b[0] for a, b in both), 2),
        f"{pair}, times its processor time": round(statistics.median(a[1] / b[1] for a, b in both), 2),
        f"{pair}, peak, MB": max(mine[2] for mine, _ in both),
        f"{pair}, its peak, MB": max(other[2] for _, other in both),
    }


def prepare(floor: Path) -> None:
    if not floor.exists():
        venv.create(floor, with_pip=True)
        subprocess.run([floor / "bin/pip", "install", "-q", *_FLOOR], check=True)


def _told(words: list[str]) -> list[float]:
    found: list[float] = json.loads(
        subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return found


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    ask.add_argument("--rows", type=int, default=10_000_000)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--pair", action="append", choices=PAIRS, help="by default all")
    ask.add_argument("--floor", type=Path, default=Path(tempfile.gettempdir()) / "noetl-bench-floor")
    ask.add_argument("--json", action="store_true")
    chosen = ask.parse_args()
    prepare(chosen.floor)
    with (
        postgres_server.running() as server,
        server.database() as dsn,
        tempfile.TemporaryDirectory() as folder,
    ):
        ground = Ground(Path(folder), dsn, chosen.floor)
        ground.make(chosen.rows)
        for pair in chosen.pair or PAIRS:
            show(measured(pair, chosen.rows, chosen.rounds, ground), as_json=chosen.json)


if __name__ == "__main__":
    main()
