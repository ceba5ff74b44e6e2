"""The tool that does nothing."""

from __future__ import annotations

from noetl_stream.tools.noop import Noop
from tests.tools.conftest import runner


async def test_noop_yields_its_constant_or_null() -> None:
    run = runner(Noop())

    assert [await run({}), await run({"result": {"ok": ["007"]}})] == [None, {"ok": ["007"]}]
