"""Program text from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from noetl_stream.core.credentials import SCRIPT
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.objects.tool import Object
from noetl_stream.tools.script import Hosts, Script, Scripts
from noetl_stream.tools.sqlite import Sqlite
from tests.cache.s3 import S3, s3_server
from tests.tools.conftest import runner, unreachable
from tests.tools.http_server import serving


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


async def echo(url: str, headers: Mapping[str, str], hosts: Hosts) -> str:
    return f"{url} {dict(headers)} {hosts}"


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text("result = 1")

    for uri in (str(path), f"file://{path}"):
        assert await unreachable.text(Script(uri=uri)) == "result = 1"


@pytest.mark.parametrize(
    ("endpoint", "uri", "url"),
    [
        (None, "https://h/a.py", "https://h/a.py"),
        ("https://h/scripts/", "/a.py", "https://h/scripts/a.py"),
        ("https://h/a.py", "", "https://h/a.py"),
    ],
)
async def test_a_url_is_fetched_with_its_headers(endpoint: str | None, uri: str, url: str) -> None:
    source = {"type": "http", "endpoint": endpoint, "headers": {"x": "1"}, "code": None if uri else ""}
    script = Script.model_validate({"uri": uri, "source": source})

    assert await Scripts(echo).text(script, ("h",)) == f"{url} {{'x': '1'}} ('h',)"


async def test_inline_code_is_itself() -> None:
    script = Script.model_validate({"source": {"type": "inline", "code": "result = 1"}})

    assert await unreachable.text(script) == "result = 1"


async def test_a_script_over_http_comes_through_the_guard() -> None:
    client = GuardedClient(allow_private=True)
    with serving() as site:
        script = Script.model_validate(
            {"uri": f"{site.url}/text/text-plain?is=result=1", "source": {"type": "http"}}
        )
        assert await Scripts(client.text).text(script) == "result=1"

        missing = Script.model_validate({"uri": f"{site.url}/status/404", "source": {"type": "http"}})
        with pytest.raises(ToolError, match=r"/status/404 answered 404; check the url") as refused:
            await Scripts(client.text).text(missing)
        with pytest.raises(ToolError, match="is none of the hosts that the playbook allows"):
            await Scripts(client.text).text(script, ("other.example",))
        busy = Script.model_validate({"uri": f"{site.url}/status/503?Retry-After=7"})
        with pytest.raises(ToolError) as later:
            await Scripts(client.text).text(busy)
    await client.close()
    assert (refused.value.kind, refused.value.status) == ("client_error", 404)
    assert (later.value.kind, later.value.retryable, later.value.retry_after) == ("server_error", True, 7.0)


@pytest.mark.parametrize("kind", ["s3", "gcs"])
async def test_an_object_is_read_through_its_store(tmp_path: Path, kind: str) -> None:
    """The store is chosen by the uri: on this disk it needs no cloud."""
    (tmp_path / "task.py").write_text("result = 1")
    source = {"source": {"type": kind}}

    found = Script.model_validate({"uri": f"file://{tmp_path}/task.py", **source})
    assert await unreachable.text(found) == "result = 1"

    missing = Script.model_validate({"uri": f"file://{tmp_path}/nope.py", **source})
    with pytest.raises(
        ToolError, match=r"the script 'file://.*/nope.py' cannot be read \(.*\); check its path$"
    ) as gone:
        await unreachable.text(missing)
    assert (gone.value.kind, gone.value.retryable) == ("client_error", False)


async def test_a_store_is_asked_with_the_credential_of_its_source_and_with_nothing_from_here(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    bucket = s3.new_bucket()
    fields = {"access_key_id": s3.key, "secret_access_key": "a-secret", "endpoint": s3.endpoint}
    given = {SCRIPT: Secret(SCRIPT, fields)}
    await runner(Object())(
        {"operation": "put", "uri": f"{bucket}/q.sql", "body": "SELECT 1 AS n"},
        credentials=given | {"c": given[SCRIPT]},
    )
    config = {"script": {"uri": f"{bucket}/q.sql"}}

    found = await runner(Sqlite(unreachable))(config, credentials=given)
    with pytest.raises(ToolError, match=rf"there is no object {bucket}/none.sql; check its key"):
        await runner(Sqlite(unreachable))({"script": {"uri": f"{bucket}/none.sql"}}, credentials=given)
    with pytest.raises(ToolError, match=r"is none of the hosts that the playbook allows"):
        await unreachable.text(Script.model_validate(config["script"]), ("other.example",))

    assert found["rows"].to_pylist() == [{"n": 1}]


async def test_a_store_at_a_private_address_that_the_document_names_is_asked_where_the_deployment_lets_it(
    s3: S3,
) -> None:
    bucket, signed = s3.new_bucket(), Secret("c", {"access_key_id": s3.key, "secret_access_key": "a-secret"})
    given = Secret("c", {"access_key_id": s3.key, "secret_access_key": "a-secret", "endpoint": s3.endpoint})
    put = {"operation": "put", "uri": f"{bucket}/task.py", "body": "result = 1"}
    await runner(Object())(put, credentials={"c": given})
    script = Script.model_validate({"uri": f"{bucket}/task.py", "source": {"endpoint": s3.endpoint}})

    with pytest.raises(ToolError, match="a private address"):
        await unreachable.text(script, None, signed)
    allowing = Scripts(unreachable.fetch, allow_private=True)
    assert await allowing.text(script, None, signed) == "result = 1"
    metadata = Script.model_validate({"uri": script.uri, "source": {"endpoint": "http://169.254.169.254"}})
    with pytest.raises(ToolError, match=r"169\.254\.169\.254"):
        await allowing.text(metadata, None, signed)


async def test_a_store_that_nobody_knows_is_told() -> None:
    script = Script.model_validate({"uri": "nope://bucket/task.py", "source": {"type": "s3"}})

    with pytest.raises(ToolError, match=r"no store has the scheme of 'nope://…'; use s3, gs, az or file"):
        await unreachable.text(script)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"uri": "gs://bucket/task.py"}, "gcs"),
        ({"uri": "s3://bucket/task.py", "source": {"region": "eu-west-1"}}, "s3"),
        ({"uri": "https://h/task.py"}, "http"),
        ({"uri": "/scripts/task.py"}, "file"),
        ({"uri": "task.py", "source": {"code": "result = 1"}}, "inline"),
        ({"uri": "task.py", "source": {"type": "gcs", "bucket": "b", "auth": "alias"}}, "gcs"),
    ],
)
def test_a_uri_says_where_it_points(script: dict[str, object], kind: str) -> None:
    assert Script.model_validate(script).source.type == kind


async def test_a_text_is_read_in_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_bytes("x = 'é'".encode("latin-1"))
    script = {"uri": str(tmp_path / "task.py"), "source": {"encoding": "latin-1"}}

    assert await unreachable.text(Script.model_validate(script)) == "x = 'é'"
    with pytest.raises(ValidationError, match=r"'klingon' is no encoding"):
        Script.model_validate({"uri": "x", "source": {"encoding": "klingon"}})


async def test_a_script_that_is_not_read_in_time_is_told() -> None:
    client = GuardedClient(allow_private=True)
    with serving() as site:
        script = {"uri": f"{site.url}/slow", "source": {"timeout": 0.1}}
        with pytest.raises(ToolError, match=r"was not read within 0.1 s; raise its `timeout`") as late:
            await Scripts(client.text).text(Script.model_validate(script))
    await client.close()
    assert (late.value.kind, late.value.retryable) == ("timeout", True)
