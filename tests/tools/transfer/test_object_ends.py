"""Files of transfers as objects of a store, and files under the one folder that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.transfer.tool import Transfer
from tests.cache.s3 import S3, s3_server
from tests.tools.conftest import Run, call, runner
from tests.tools.transfer.places import Place, move

OLD = pa.table({"id": [1, 2], "name": ["one", "two"]})
NEW = pa.table({"id": [3], "name": ["three"]})


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.new_bucket()


def keys(s3: S3, provider: str | None = None) -> Secret:
    fields = {"access_key_id": s3.key, "secret_access_key": "a-secret", "endpoint": s3.endpoint}
    return Secret("store", fields, provider=provider)


@pytest.fixture
def moved(run: Run, s3: S3) -> Run:
    """One transfer, both of whose ends have the store's credential."""

    async def moved(config: Any, /, **fields: Any) -> Any:
        return await run(config, **({"credentials": {"store": keys(s3)}} | fields))

    return moved


def at(path: str, kind: str = "parquet") -> Place:
    return Place(end={"kind": kind, "path": path}, url=None)


async def ids(run: Run, s3: S3, place: Place) -> list[int]:
    found = await run({"source": place.end, "target": {"kind": "frame"}}, credentials={"store": keys(s3)})
    return sorted(found["frame"].column("id").to_pylist())


async def into(moved: Run, place: Place, table: pa.Table, **more: Any) -> Any:
    return await moved(
        {"source": {"kind": "frame"}, "target": place.end, **more},
        input={"rows": table},
        effect_key=str(table),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
async def test_an_object_is_a_file(kind: str, run: Run, moved: Run, s3: S3, bucket: str) -> None:
    there = at(f"{bucket}/a/rows.{kind}", kind)

    told = await into(moved, there, OLD)
    await into(moved, there, NEW)
    appended = await ids(run, s3, there)
    await into(moved, there, NEW, mode="replace")

    assert (told["rows"], told["target"]) == (2, f"{kind} {bucket}/a/rows.{kind}")
    assert appended == [1, 2, 3]
    assert await ids(run, s3, there) == [3]


@pytest.mark.slow
async def test_a_prefix_is_a_folder_and_a_star_stands_for_names_in_one(
    run: Run, moved: Run, s3: S3, bucket: str
) -> None:
    lake = at(f"{bucket}/lake/")
    for table in (OLD, NEW):
        await into(moved, lake, table)
    await into(moved, at(f"{bucket}/lake/deep/x.parquet"), OLD)
    await into(moved, at(f"{bucket}/lakes.parquet"), OLD)

    assert await ids(run, s3, lake) == [1, 2, 3]
    assert await ids(run, s3, at(f"{bucket}/*/*/x.parquet")) == [1, 2]
    await into(moved, lake, NEW, mode="replace")
    assert await ids(run, s3, lake) == [3]
    assert await ids(run, s3, at(f"{bucket}/lake/deep/*")) == [1, 2]


@pytest.mark.slow
async def test_a_transfer_that_breaks_off_leaves_the_old_object(
    run: Run, moved: Run, s3: S3, bucket: str, tmp_path: Path
) -> None:
    there, broken = at(f"{bucket}/rows.parquet"), tmp_path / "broken.csv"
    await into(moved, there, OLD)
    broken.write_text("id,name\n" + "7,seven\n" * 600_000 + "x,eight\n")

    with pytest.raises(ToolError, match="conversion error to int64"):
        await moved({"source": at(str(broken), "csv").end, "target": there.end, "mode": "replace"})

    assert await ids(run, s3, there) == [1, 2]


@pytest.mark.slow
async def test_many_rows_are_read_in_pieces(moved: Run, s3: S3, bucket: str) -> None:
    """20 MB in several parts, and as text in several blocks."""
    table = pa.table(
        {"id": range(200_000), "text": [f"{n * 7919 % 1_000_003:0100d}" for n in range(200_000)]}
    )
    text, packed = at(f"{bucket}/big.csv", "csv"), at(f"{bucket}/big.parquet")

    await into(moved, text, table)
    told = await moved({"source": text.end, "target": packed.end})
    found = await moved({"source": packed.end, "target": {"kind": "frame"}})

    assert told["rows"] == 200_000
    assert found["frame"].column("id").to_pylist() == table.column("id").to_pylist()
    size = obstore.head(s3.store(bucket), "big.csv")["size"]
    assert size > 20_000_000


@pytest.mark.slow
async def test_what_a_store_refuses_is_told(run: Run, moved: Run, s3: S3, bucket: str) -> None:
    frame = {"kind": "frame"}
    for path, sentence in {
        f"{bucket}/gone.parquet": "there is no object s3://.*/gone.parquet",
        f"{bucket}/none/*.csv": "there is no object 's3://.*'; check its key",
        "s3://no-such-bucket-here/*": r"the bucket of s3://no-such-bucket-here/\* is not there",
        bucket: "names no object; add its key",
        f"{bucket}/../x": "is no key",
        "ftp://x/y": "no store has the scheme",
    }.items():
        with pytest.raises(ToolError, match=sentence):
            await moved({"source": at(path).end, "target": frame})
    with pytest.raises(ToolError, match="the source of the transfer names no credential"):
        await run({"source": at(f"{bucket}/x").end, "target": frame})


@pytest.mark.slow
async def test_an_endpoint_of_the_document_is_checked(s3: S3, bucket: str) -> None:
    config = {"source": at(f"{bucket}/x").end, "target": {"kind": "frame"}}
    authors = {"store": keys(s3, DOCUMENT)}

    with pytest.raises(ToolError, match="is a private address"):
        await runner(Transfer())(config, credentials=authors)
    with pytest.raises(ToolError, match="none of the hosts that the playbook allows"):
        await runner(Transfer(allow_private=True))(config, credentials=authors, hosts=("example.org",))
    with pytest.raises(ToolError, match="there is no object"):
        await runner(Transfer(allow_private=True))(config, credentials=authors, hosts=("127.0.0.1",))


async def test_a_cancelled_transfer_does_not_wait_for_a_silent_store() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()
        closed.set()

    tool = Transfer()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        fields = {"access_key_id": "k", "secret_access_key": "s", "endpoint": endpoint}
        config = {"source": at("s3://b/rows.parquet").end, "target": {"kind": "frame"}}
        secret = {"store": Secret("store", fields)}
        running = asyncio.ensure_future(tool.run(call(tool, config, credentials=secret)))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await tool.close()


async def test_only_the_folder_that_is_open_is_reached(tmp_path: Path) -> None:
    root, outside = tmp_path / "open", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    run = runner(Transfer(files=root))
    there = at(f"file://{root}/rows.parquet")
    await move(run, None, there, OLD)
    (outside / "rows.parquet").write_bytes((root / "rows.parquet").read_bytes())
    (root / "link").symlink_to(outside)

    found = (await move(run, at(f"{root}/rows.parquet"), None))["frame"]

    assert found.column("id").to_pylist() == [1, 2]
    for path in (
        f"{outside}/rows.parquet",
        f"file://{outside}/rows.parquet",
        f"{root}/../outside/rows.parquet",
        f"{root}/link/rows.parquet",
        f"{root}/*/rows.parquet",
    ):
        with pytest.raises(ToolError, match=r"not under the folder|is no key") as refused:
            await move(run, at(path), None)
        assert refused.value.kind in ("client_error", "validation")
        with pytest.raises(ToolError, match=r"not under the folder|is no key"):
            await move(run, None, at(path.replace("*", "link")), NEW)
    assert [each.name for each in outside.iterdir()] == ["rows.parquet"]
