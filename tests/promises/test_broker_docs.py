"""Holds docs/broker.md to what the broker answers."""

from __future__ import annotations

import re
from pathlib import Path

from noetl_stream.broker.api import SUPPORTED

DOCS = Path(__file__).parents[2] / "docs" / "broker.md"


def test_the_requests_and_versions_in_the_docs_are_those_that_are_answered() -> None:
    told = re.findall(r"`([A-Z]\w+)` (\d+)–(\d+)", DOCS.read_text())

    assert {(name, int(lowest), int(highest)) for name, lowest, highest in told} == {
        (api.name.title().replace("_", ""), *versions) for api, versions in SUPPORTED.items()
    }
