"""The object tool against a real S3 protocol, and files under a folder that is open to it."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import DOCUMENT, Secret
from noetl_stream.tools.objects.bodies import chosen
from noetl_stream.tools.objects.tool import Object
from tests.cache.s3 import S3, s3_server
from tests.tools.conftest import Run, call, runner

TABLE = pa.table(
    {"id": [1, 2, 3], "price": pa.array([Decimal("1.50"), None, Decimal("2.25")], pa.decimal128(9, 2))}
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


def keys(s3: S3, **fields: Any) -> Mapping[str, Secret]:
    """A credential as an operator might have written it."""
    given = {
        "aws_access_key_id": s3.key,
        "aws_secret_access_key": "a-secret",
        "endpoint": s3.endpoint,
        "type": "s3",
    }
    return {"store": Secret("store", given | fields)}


async def signed_by(credentials: Mapping[str, Secret]) -> str:
    """The key that a request is signed with, as a server is shown it; a session's token is an error."""
    shown: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(look, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        fields = credentials["store"].reveal()
        assert isinstance(fields, Mapping)
        secret = {**fields, "endpoint": endpoint}
        with pytest.raises(ToolError, match="no object"):
            await runner(Object())({"uri": "s3://b/k"}, credentials={"store": Secret("store", secret)})
    head = (await shown).decode().lower()
    assert "x-amz-security-token" not in head
    return head.partition("credential=")[2].partition("/")[0]


@pytest.fixture
def run(s3: S3) -> Run:
    return runner(Object(), credentials=keys(s3))


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.new_bucket()


@pytest.mark.slow
class TestS3:
    async def test_text_and_json_come_back_as_they_were_put(self, run: Run, bucket: str) -> None:
        await run({"operation": "put", "uri": f"{bucket}/note.txt", "body": "früh"})
        put = await run(
            {"operation": "put", "uri": f"{bucket}/a/order.json", "body": {"id": 7, "lines": [1, 2]}}
        )

        note = await run({"uri": f"{bucket}/note.txt"})
        order = await run({"uri": f"{bucket}/a/order.json"})

        assert (note["data"], note["size"], note["format"]) == ("früh", 5, "text")
        assert order["data"] == {"id": 7, "lines": [1, 2]}
        assert (put["key"], put["etag"]) == (order["key"], order["etag"])

    async def test_bytes_are_base64_text(self, run: Run, bucket: str) -> None:
        raw = base64.b64encode(b"\x00\xff").decode()
        await run({"operation": "put", "uri": f"{bucket}/raw", "body": raw, "format": "bytes"})

        found = await run({"uri": f"{bucket}/raw"})

        assert (found["data"], found["size"]) == (raw, 2)

    @pytest.mark.parametrize("ending", ["parquet", "arrow"])
    async def test_a_table_keeps_its_types(self, run: Run, bucket: str, ending: str) -> None:
        await run({"operation": "put", "uri": f"{bucket}/t.{ending}"}, input={"body": TABLE})

        found = await run({"uri": f"{bucket}/t.{ending}"})

        assert found["rows"].equals(TABLE)
        assert (found["columns"], found["row_count"]) == (["id", "price"], 3)

    @pytest.mark.parametrize("ending", ["csv", "jsonl"])
    async def test_rows_may_be_text(self, run: Run, bucket: str, ending: str) -> None:
        rows = [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
        await run({"operation": "put", "uri": f"{bucket}/t.{ending}", "body": rows})

        found = await run({"uri": f"{bucket}/t.{ending}"})

        assert found["rows"].to_pylist() == rows

    async def test_more_than_one_part_arrives_whole(self, run: Run, bucket: str) -> None:
        text = "0123456789abcdef" * (1 << 20)
        await run({"operation": "put", "uri": f"{bucket}/large.txt", "body": text})

        assert (await run({"uri": f"{bucket}/large.txt"}))["data"] == text

    async def test_a_list_is_bounded_and_can_be_gone_on_with(self, run: Run, bucket: str) -> None:
        for name in ("a/1", "a/2", "a/3", "b/1"):
            await run({"operation": "put", "uri": f"{bucket}/{name}", "body": name})

        first = await run({"operation": "list", "uri": f"{bucket}/a", "limit": 2})
        rest = await run({"operation": "list", "uri": f"{bucket}/a", "after": first["objects"][-1]["key"]})
        top = await run({"operation": "list", "uri": f"{bucket}/", "folders": True})

        assert [each["key"] for each in first["objects"]] == ["a/1", "a/2"]
        assert (first["truncated"], rest["truncated"]) == (True, False)
        assert [each["key"] for each in rest["objects"]] == ["a/3"]
        assert (top["folders"], top["objects"]) == (["a", "b"], [])

    async def test_an_object_is_copied_looked_at_and_deleted(self, run: Run, bucket: str) -> None:
        await run({"operation": "put", "uri": f"{bucket}/one", "body": "1"})
        await run({"operation": "copy", "uri": f"{bucket}/one", "to": "two"})
        await run({"operation": "delete", "uri": f"{bucket}/one"})

        gone, there = [await run({"operation": "head", "uri": f"{bucket}/{name}"}) for name in ("one", "two")]

        assert (gone["exists"], there["exists"], there["size"]) == (False, True, 1)

    async def test_a_put_if_absent_is_written_once(self, run: Run, bucket: str) -> None:
        config = {"operation": "put", "uri": f"{bucket}/once.json", "if_absent": True}

        created = [(await run({**config, "body": {"n": 1}}))["created"] for _ in range(2)]
        with pytest.raises(ToolError, match=r"once\.json is there already") as other:
            await run({**config, "body": {"n": 2}})

        assert created == [True, False]
        assert (other.value.kind, other.value.status, other.value.code) == ("client_error", 409, "exists")
        assert (await run({"uri": f"{bucket}/once.json"}))["data"] == {"n": 1}

    async def test_a_bucket_and_a_key_say_the_same_as_a_uri(self, run: Run, bucket: str) -> None:
        name = bucket.removeprefix("s3://")
        await run({"action": "put", "bucket": name, "path": "x.txt", "content": "hi"})

        assert (await run({"bucket": name, "key": "x.txt"}))["uri"] == f"{bucket}/x.txt"

    async def test_a_missing_key_and_a_missing_bucket_are_told_apart(self, run: Run, bucket: str) -> None:
        with pytest.raises(ToolError, match="no object") as key:
            await run({"uri": f"{bucket}/none"})
        with pytest.raises(ToolError, match="bucket") as other:
            await run({"uri": "s3://no-such-bucket-here/none"})

        assert (key.value.kind, key.value.status, key.value.code) == ("client_error", 404, "not_found")
        assert (other.value.status, other.value.code, other.value.retryable) == (404, "no_such_bucket", False)

    async def test_an_object_over_the_bound_is_not_read(self, run: Run, bucket: str) -> None:
        await run({"operation": "put", "uri": f"{bucket}/t.txt", "body": "x" * 100})

        with pytest.raises(ToolError, match="100 bytes, 99 are read at most") as found:
            await run({"uri": f"{bucket}/t.txt", "max_bytes": 99})

        assert found.value.code == "too_large"

    async def test_what_is_not_as_it_is_called_is_an_error_with_the_next_step(
        self, run: Run, bucket: str
    ) -> None:
        for name in ("t.json", "t.parquet"):
            await run(
                {"operation": "put", "uri": f"{bucket}/{name}", "body": "no such thing", "format": "text"}
            )

            with pytest.raises(ToolError, match=rf"{name} does not read as .*; say its `format`"):
                await run({"uri": f"{bucket}/{name}"})

    async def test_the_workers_own_credentials_are_never_used(
        self, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "ambient")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        tool = runner(Object())

        put = await tool({"operation": "put", "uri": f"{bucket}/k", "body": "1"}, credentials=keys(s3))
        with pytest.raises(ToolError, match="names no credential") as none:
            await tool({"uri": f"{bucket}/k"})
        with pytest.raises(ToolError, match="has no key for S3") as half:
            await tool({"uri": f"{bucket}/k"}, credentials={"c": Secret("c", {"endpoint": s3.endpoint})})

        assert put["created"] is True
        assert await signed_by(keys(S3(endpoint=""))) == s3.key
        assert (none.value.kind, half.value.kind) == ("credential", "credential")

    async def test_a_documents_endpoint_is_looked_at_and_the_credentials_is_not(
        self, s3: S3, bucket: str
    ) -> None:
        secret = {"c": Secret("c", {"access_key_id": s3.key, "secret_access_key": "a-secret"})}
        config = {"operation": "list", "uri": f"{bucket}/", "endpoint": s3.endpoint}

        with pytest.raises(ToolError, match="a private address") as refused:
            await runner(Object())(config, credentials=secret)
        with pytest.raises(ToolError, match="none of the hosts") as unlisted:
            await runner(Object(allow_private=True))(config, credentials=secret, hosts=("example.org",))

        written = Secret("c", keys(s3)["store"].reveal(), provider=DOCUMENT)
        with pytest.raises(ToolError, match="a private address") as inside:
            await runner(Object())({"operation": "list", "uri": f"{bucket}/"}, credentials={"c": written})

        for endpoint in ("ftp://h", "https://h:port"):
            with pytest.raises(ToolError, match=f"'{endpoint}' is no endpoint"):
                await runner(Object())({**config, "endpoint": endpoint}, credentials=secret)

        assert (refused.value.code, unlisted.value.code) == ("refused_address", "refused_host")
        assert inside.value.code == "refused_address"
        assert (await runner(Object(allow_private=True))(config, credentials=secret))["count"] == 0


@pytest.mark.slow
async def test_wrong_keys_are_an_error_of_the_credential_and_tell_none_of_it() -> None:
    with s3_server(demands_users=True) as strict:
        bucket = strict.new_bucket()
        with pytest.raises(ToolError, match="refuses the credential") as found:
            await runner(Object())(
                {"uri": f"{bucket}/k.txt"}, credentials=keys(strict, secret_access_key="s3cr3t")
            )

    assert (found.value.kind, found.value.status, found.value.retryable) == ("auth", 403, False)
    assert "a-secret" not in str(found.value)
    assert strict.key not in str(found.value)


@pytest.mark.slow
async def test_a_store_that_does_not_answer_is_a_connection_to_try_again() -> None:
    nowhere = S3(endpoint="http://127.0.0.1:1")

    with pytest.raises(ToolError, match="does not answer") as found:
        await runner(Object())({"uri": "s3://b/k"}, credentials=keys(nowhere))

    assert (found.value.kind, found.value.retryable) == ("connection", True)


async def test_a_silent_store_ends_with_the_tasks_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nowhere = S3(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ToolError, match=r"longer than 0\.2 s") as found:
            await runner(Object())({"uri": "s3://b/k"}, timeout=0.2, credentials=keys(nowhere))

    assert (found.value.kind, found.value.retryable) == ("timeout", True)


class TestFiles:
    async def test_a_file_is_reached_under_the_open_folder_alone(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "open", tmp_path / "secret.txt"
        inside.mkdir()
        outside.write_text("secret")
        (inside / "link.txt").symlink_to(outside)
        run = runner(Object(files=inside))

        await run({"operation": "put", "uri": f"file://{inside}/a.json", "body": [1]})

        assert (await run({"uri": f"file://{inside}/a.json"}))["data"] == [1]
        for uri in (f"file://{outside}", f"file://{inside}/link.txt"):
            with pytest.raises(ToolError, match="not under the folder") as found:
                await run({"uri": uri})
            assert found.value.code == "refused_path"
        with pytest.raises(ToolError, match=r"without `\.` and `\.\.`"):
            await run({"uri": f"file://{inside}/../secret.txt"})
        with pytest.raises(ToolError, match="not under the folder"):
            await run({"operation": "copy", "uri": f"file://{inside}/a.json", "to": str(outside)[1:]})
        assert outside.read_text() == "secret"

    async def test_no_folder_is_open_unless_the_deployment_names_one(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="NOETL_STREAM_FILES"):
            await runner(Object())({"uri": f"file://{tmp_path}/a"})


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "a `uri`, or a `bucket`"),
        ({"uri": "s3://b/k", "bucket": "b"}, "a `uri`, or a `bucket`"),
        ({"uri": "b/k"}, "has a scheme"),
        ({"operation": "copy", "uri": "s3://b/k"}, "needs `to`"),
    ],
)
def test_a_config_that_names_no_object_is_refused(config: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call(Object(), config)


@pytest.mark.parametrize(
    ("key", "body", "format"),
    [
        ("a.csv", [{"n": 1}], "csv"),
        ("a.csv", "n\n1", "text"),
        ("a", {"n": 1}, "json"),
        ("a", TABLE, "parquet"),
        ("a.txt", [1], "json"),
    ],
)
def test_a_format_follows_the_key_and_the_body(key: str, body: Any, format: str) -> None:
    assert chosen(None, key, body) == format
