"""One installation for all examples, on either broker: every role in this process, as `noetl-stream up` runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
import pytest_asyncio

from noetl_stream.cli.running import everything
from noetl_stream.settings import Settings
from noetl_stream.wiring import Platform
from tests.conftest import BROKERS
from tests.playbooks.examples import EXAMPLES, PLAYBOOKS
from tests.serving import in_a_thread
from tests.tools.kubernetes_api import NAMESPACE, Api, serving_api


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[Api]:
    """Where the examples' containers run."""
    with serving_api() as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BROKERS)
async def platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kubernetes: Api
) -> AsyncIterator[Platform]:
    """Running, with every example in its catalog. No broker is named for the embedded one: `everything` starts it."""
    named = request.getfixturevalue("apache_bootstrap") if request.param == "apache" else ""
    settings = Settings(
        bootstrap=named,
        data=tmp_path_factory.mktemp("examples"),
        prefix=f"examples-{uuid4().hex[:8]}.",
        allow_private=True,
        kubernetes=kubernetes.url,
        kubernetes_namespaces=(NAMESPACE,),
        kafka_topics=("shop.*",),
        partitions=2,
        pools=("default", "system"),
    )
    async with everything(settings) as running:
        for example in {example.file: example for example in EXAMPLES}.values():
            await running.catalog.register(example.catalog_path, example.text)
        yield running


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    """The files of playbooks/shop as a web service; its address."""
    serve = partial(_Quiet, directory=str(PLAYBOOKS / "shop"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"
