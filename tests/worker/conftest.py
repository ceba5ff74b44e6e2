"""A cache of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path / "cache")
