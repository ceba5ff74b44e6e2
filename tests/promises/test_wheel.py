"""What gets installed: our packages under our own name, and everything they read at run time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of the wheel that this checkout builds."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob("*.whl"))).namelist()


@pytest.mark.slow
def test_the_wheel_owns_no_top_level_package_but_ours(names: list[str]) -> None:
    """A top-level `agents` would overwrite another well-known SDK."""
    tops = {name.split("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"noetl_stream"}


@pytest.mark.slow
def test_the_wheel_carries_the_agents_and_every_schema(names: list[str]) -> None:
    """Both are reached through links in a checkout."""
    schemas = {f"noetl_stream/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.avsc")}

    assert schemas
    assert schemas <= set(names)
    assert "noetl_stream/agents/orchestrator.py" in names
    assert "noetl_stream/system/alert.yaml" in names
    assert "noetl_stream/py.typed" in names
