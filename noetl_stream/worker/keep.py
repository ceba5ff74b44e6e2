"""Putting a result where it belongs: small JSON into the event, everything else into the cache, once, by reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from noetl_stream.core.messages import Offer
from noetl_stream.core.plan import Path
from noetl_stream.core.values import Piped, Ref, Value
from noetl_stream.dsl.lookup import is_frame, parts_of
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache, FrameKey
from noetl_stream.wire.values import encode_plain, encode_value
from noetl_stream.worker.hydrate import hydrate

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 1024
"""The largest value that a reference carries for conditions to read."""
ROWS_INLINE = 100
"""A table of up to so many rows also travels in its reference, if that stays within the block's inline limit."""


def key_of(offer: Offer, name: str) -> FrameKey:
    """Where a block leaves what it calls `name`."""
    return FrameKey(execution=offer.execution, block=offer.block, attempt=offer.attempt, name=name)


async def keep(
    cache: Cache, key: FrameKey, value: Any, *, inline_limit: int, paths: Iterable[Path] = ()
) -> Value:
    """What an event may carry of `value`: itself if it is small JSON, else a reference with the `paths` others read."""
    stored = await without_tables(cache, key, value, inline_limit=inline_limit, paths=paths)
    if isinstance(stored, Ref) or len(encode_value(stored)) <= inline_limit:
        return stored
    if isinstance(stored, Piped):
        return await _keep_apart(cache, key, stored, inline_limit, tuple(paths))
    return await cache.put_json(key, stored, parts_of(stored, paths, PART_BYTES))


async def _keep_apart(
    cache: Cache, key: FrameKey, piped: Piped, limit: int, paths: tuple[Path, ...]
) -> Value:
    """A pipeline's result and those of its tasks, each by itself, so that whoever reads one fetches no other."""
    value = await keep(cache, key, piped.value, inline_limit=limit // 2, paths=paths)
    tasks = {}
    for name, each in piped.tasks.items():
        below, own = _below(paths, ("results", name)), replace(key, name=f"{key.name}.{name}")
        small = min(limit, PART_BYTES)
        tasks[name] = (
            value if each is piped.value else await keep(cache, own, each, inline_limit=small, paths=below)
        )
    return Piped(value, tasks)


async def frames_of(
    cache: Cache, key: FrameKey, value: Any, *, inline_limit: int, paths: Iterable[Path]
) -> Any:
    """A tool's value with each table stored and opened again as a frame: what the pipeline's templates read.

    Raises ToolError for what could not be written down.
    """
    if is_plain(value):
        return value
    stored = await without_tables(cache, key, value, inline_limit=inline_limit, paths=paths)
    try:
        encode_value(stored)
    except TypeError as error:
        raise ToolError(f"the tool returned {error}", kind="validation") from None
    return await hydrate(cache, stored)


def is_plain(value: Any) -> bool:
    """Whether a value is JSON without tables or references: a native pass, where a walk would cost a hundred times more."""
    try:
        encode_plain(value)
    except TypeError:
        return False
    return True


async def without_tables(
    cache: Cache, key: FrameKey, value: Any, *, inline_limit: int, paths: Iterable[Path] = ()
) -> Value:
    """The value with each table in it replaced by a reference; one table named twice is stored once."""
    return value if is_plain(value) else await _walked(cache, key, value, tuple(paths), inline_limit)


async def _walked(cache: Cache, key: FrameKey, value: Any, paths: tuple[Path, ...], limit: int) -> Value:
    tables: dict[int, Ref] = {}

    async def walk(found: Any, at: Path) -> Value:
        match found:
            case dict() | list() | tuple() if is_plain(found):
                return found
            case Piped():
                tasks = {name: await walk(each, (*at, "results", name)) for name, each in found.tasks.items()}
                return Piped(await walk(found.value, at), tasks)
            case dict():
                return {name: await walk(each, (*at, str(name))) for name, each in found.items()}
            case list() | tuple():
                return [await walk(each, (*at, str(i))) for i, each in enumerate(found)]
            case _ if is_frame(found):
                return found.ref
            case _ if (table := as_table(found)) is not None:
                if id(found) not in tables:
                    tables[id(found)] = await _put(cache, key, table, _below(paths, at), limit)
                return tables[id(found)]
            case _:
                return found

    return await walk(value, ())


def _below(paths: tuple[Path, ...], at: Path) -> frozenset[Path]:
    return frozenset(path[len(at) :] for path in paths if path[: len(at)] == at)


async def _put(cache: Cache, key: FrameKey, table: pa.Table, paths: frozenset[Path], limit: int) -> Ref:
    parts: Mapping[str, Value] = {}
    if table.num_rows <= ROWS_INLINE or paths:
        rows = plain_rows(table.slice(0, ROWS_INLINE))
        small = table.num_rows <= ROWS_INLINE and len(encode_value(rows)) <= min(limit, 16 * PART_BYTES)
        parts = {"": rows} if small else _parts_of_head(rows, paths)
    return await cache.put_table(key, table, parts)


def _parts_of_head(rows: list[Value], paths: frozenset[Path]) -> Mapping[str, Value]:
    """What paths read of a large table's first rows; anything else must be asked of the table."""
    near = {p for p in paths if p and p[0].isdigit() and int(p[0]) < len(rows)}
    return parts_of(rows, near, PART_BYTES)


def plain_rows(table: pa.Table) -> list[Value]:
    """A table's rows as JSON: dates as ISO text, exact decimals as numbers."""
    from noetl_stream.dsl.native import native

    return [native(row) for row in table.to_pylist(maps_as_pydicts="lossy")]


def as_table(value: Any) -> pa.Table | None:
    """A pyarrow Table or a Polars frame as a table; None for anything else."""
    kind = type(value)
    if kind.__module__.startswith("pyarrow"):
        import pyarrow as pa

        return value if isinstance(value, pa.Table) else None
    if kind.__module__.startswith("polars"):
        import polars as pl

        if isinstance(value, pl.LazyFrame):
            value = value.collect(engine="streaming")
        return (
            value.to_arrow(compat_level=pl.CompatLevel.oldest()) if isinstance(value, pl.DataFrame) else None
        )
    return None


def as_rows(value: Any) -> Value:
    """A frame as its rows; anything else as it is."""
    return plain_rows(value.arrow()) if is_frame(value) else value
