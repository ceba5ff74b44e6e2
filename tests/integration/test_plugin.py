"""The plugin of docs/examples: built, installed beside us, tested, known to the language, and run by a playbook."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import COMMAND

PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "plugin"
PLAYBOOK = PLUGIN / "mail.yaml"

pytestmark = pytest.mark.slow


def run(*arguments: object, cwd: Path = PLUGIN, **environment: object) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    env = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that has the plugin, installed from its wheel."""
    out, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out)
    assert built.returncode == 0, built.stderr
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps")
    installed = run(*pip, "--target", site, next(out.glob("*.whl")))
    assert installed.returncode == 0, installed.stderr
    return site


def test_its_own_tests_pass_on_what_is_installed(site: Path, tmp_path: Path) -> None:
    for name in ("test_mail.py", "post_office.py", "pyproject.toml"):
        shutil.copy(PLUGIN / name, tmp_path)

    ended = run(sys.executable, "-m", "pytest", "-q", cwd=tmp_path, PYTHONPATH=site)

    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout


def test_the_command_line_knows_its_keys(site: Path) -> None:
    ended = run(*COMMAND, "tools", "mail", PYTHONPATH=site)

    assert ended.stdout.startswith("mail: Sends mail over SMTP.")
    assert "(also `from`)" in ended.stdout


def test_without_it_the_kind_is_unknown() -> None:
    ended = run(*COMMAND, "validate", PLAYBOOK)

    assert ended.returncode == 2
    assert "unknown tool kind 'mail'" in ended.stderr


async def test_a_playbook_sends_mail_by_it(site: Path, tmp_path: Path) -> None:
    async with post_office().open_office() as office:
        settings = ("--data", tmp_path, "--set", f"post.port={office.port}")
        ended = await asyncio.to_thread(run, *COMMAND, "run", PLAYBOOK, *settings, PYTHONPATH=site)

    assert ended.returncode == 0, ended.stderr
    assert "Subject: Orders of today" in office.received[0]
    assert "There are 7 of them." in office.received[0]


def post_office() -> Any:
    """The mail server of its tests."""
    spec = spec_from_file_location("post_office", PLUGIN / "post_office.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["post_office"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
