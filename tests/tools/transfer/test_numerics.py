"""Numerics as PostgreSQL sends them: every digit and sign, null, and what is no decimal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import psycopg
import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.numerics import decimals
from tests.tools.conftest import Run
from tests.tools.transfer.places import move, place

SHAPES = ((18, 2), (18, 18), (18, 0), (9, 9), (5, 3), (18, 7), (1, 0), (19, 2), (38, 20))


def numbers(precision: int, scale: int, random: Random) -> list[Decimal | None]:
    """Both ends, zero, null, and as many digits as there may be, or fewer."""
    ends = [10**precision - 1, 1 - 10**precision, 0, 1, 10 ** (precision - 1)]
    some = [random.randint(-(10**digits), 10**digits) for digits in range(precision) for _ in range(5)]
    return [None, *(Decimal(f"{each}E-{scale}") for each in ends + some), None]


@pytest.mark.slow
async def test_every_numeric_arrives_with_its_digits(run: Run, tmp_path: Path, database: str) -> None:
    here, random = place("postgres", "here", tmp_path, database), Random(7)
    columns = {f"n{p}_{s}": numbers(p, s, random) for p, s in SHAPES}
    rows = max(map(len, columns.values()))
    held = {name: (each * rows)[:rows] for name, each in columns.items()}
    with psycopg.connect(database, autocommit=True) as connection:
        declared = ", ".join(f"n{p}_{s} numeric({p}, {s})" for p, s in SHAPES)
        connection.execute(f"CREATE TABLE here ({declared})".encode())
        with connection.cursor().copy("COPY here FROM STDIN") as copy:
            for row in zip(*held.values(), strict=True):
                copy.write_row(row)

    found = (await move(run, here, None))["frame"]

    assert found.schema.types == [pa.decimal128(p, s) for p, s in SHAPES]
    assert found.to_pydict() == held


@pytest.mark.slow
async def test_a_number_that_is_none_is_refused(run: Run, tmp_path: Path, database: str) -> None:
    here = place("postgres", "here", tmp_path, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE here AS SELECT 'NaN'::numeric(9, 2) AS amount")

    with pytest.raises(ToolError, match="column 'amount': NaN and infinity are no decimals; cast it to text"):
        await move(run, here, None)


def sent(weight: int, sign: int, *digits: int) -> bytes:
    words = (len(digits), weight & 0xFFFF, sign, 0, *digits)
    return b"".join(each.to_bytes(2, "big") for each in words)


def test_a_column_may_be_part_of_a_larger_one() -> None:
    whole = pa.array([sent(0, 0, 9999), None, sent(0, 0x4000, 7), sent(-1, 0, 500), None])

    assert decimals(whole.slice(1, 3), pa.decimal128(9, 2)).to_pylist() == [
        None,
        Decimal("-7.00"),
        Decimal("0.05"),
    ]
    assert decimals(whole.slice(4), pa.decimal128(9, 2)).to_pylist() == [None]
    assert decimals(whole.slice(5), pa.decimal128(9, 2)).to_pylist() == []


@pytest.mark.parametrize("value", [sent(4, 0, 100), sent(9, 0, 1), sent(-1, 0, 1), sent(-3, 0, 1)])
def test_digits_beyond_the_column_are_never_dropped(value: bytes) -> None:
    with pytest.raises(ValueError, match="more digits than its column"):
        decimals(pa.array([value]), pa.decimal128(18, 2))
