"""`python transfer_floor.py PAIR MADE FOLDER DSN [EXTENSION]`: one pair of ends by DuckDB's own COPY. Prints what `transfer_ours` prints.

It needs nothing but DuckDB, since it runs by that DuckDB for which there is an extension for PostgreSQL.
"""

from __future__ import annotations

import json
import sys
import time

_TABLE = "pg.public.floor"


def statements(pair: str, made: str, folder: str) -> str:
    """What moves the rows, in one statement."""
    into_file = f"TO '{folder}/floor.parquet' (FORMAT parquet, COMPRESSION zstd)"
    return {
        "parquet to postgres": f"CREATE TABLE {_TABLE} AS FROM '{made}'",
        "postgres to parquet": f"COPY (FROM pg.public.made) {into_file}",
        "parquet to duckdb": f"CREATE TABLE floor AS FROM '{made}'",
        "duckdb to parquet": f"COPY made.t {into_file}",
        "postgres to duckdb": "CREATE TABLE floor AS FROM pg.public.made",
        "duckdb to postgres": f"CREATE TABLE {_TABLE} AS FROM made.t",
    }[pair]


def peak() -> int:
    """Of this process's memory, in MB. What `getrusage` tells may be its parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def main() -> None:
    import duckdb  # ours takes `peak` from here, and is not to pay for another DuckDB

    pair, made, folder, dsn, *extension = sys.argv[1:]
    with duckdb.connect(f"{folder}/floor.duckdb", config={"allow_unsigned_extensions": "true"}) as there:
        if "postgres" in pair:
            there.execute(f"LOAD '{extension[0]}'")
            there.execute(f"ATTACH '{dsn}' AS pg (TYPE postgres)")
        if pair.startswith("duckdb"):
            there.execute(f"ATTACH '{folder}/made.duckdb' AS made (READ_ONLY)")
        began, used = time.perf_counter(), time.process_time()
        there.execute(statements(pair, made, folder))
        if pair.endswith("duckdb"):
            there.execute("CHECKPOINT")
        seconds = time.perf_counter() - began, time.process_time() - used
    print(json.dumps([*seconds, peak()]))


if __name__ == "__main__":
    main()
