"""Program text from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.script import Script, script_text
from tests.tools.conftest import unreachable
from tests.tools.http_server import serving


async def echo(url: str, headers: Mapping[str, str]) -> str:
    return f"{url} {dict(headers)}"


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text("result = 1")

    for uri in (str(path), f"file://{path}"):
        assert await script_text(Script(uri=uri), unreachable) == "result = 1"


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

    assert await script_text(script, echo) == f"{url} {{'x': '1'}}"


async def test_inline_code_is_itself() -> None:
    script = Script.model_validate({"source": {"type": "inline", "code": "result = 1"}})

    assert await script_text(script, unreachable) == "result = 1"


async def test_a_script_over_http_comes_through_the_guard() -> None:
    client = GuardedClient(allow_private=True)
    with serving() as site:
        script = Script.model_validate(
            {"uri": f"{site.url}/text/text-plain?is=result=1", "source": {"type": "http"}}
        )
        assert await script_text(script, client.text) == "result=1"

        missing = Script.model_validate({"uri": f"{site.url}/status/404", "source": {"type": "http"}})
        with pytest.raises(ToolError, match=r"/status/404 answered 404; check the url") as refused:
            await script_text(missing, client.text)
    await client.close()
    assert (refused.value.kind, refused.value.status) == ("client_error", 404)
