"""The table of kinds: what the language and the worker see of it, and plugins beside it."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.tools import builtin
from noetl_stream.tools.builtin import BUILTIN, Means, builtin_tools, kinds
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.noop import Noop
from noetl_stream.tools.plugin import GROUP, Plugin
from noetl_stream.tools.warm.pool import WarmPool
from tests.tools.conftest import call

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
async def means(tmp_path: Path) -> AsyncIterator[Means]:
    means = Means(pool=WarmPool(), client=GuardedClient(), cache=LocalCache(tmp_path))
    yield means
    await means.pool.close()
    await means.client.close()


def test_ours_are_registered_like_a_plugins() -> None:
    declared = tomllib.loads(PROJECT.read_text())["project"]["entry-points"][GROUP]

    loaded = {name: EntryPoint(name, value, GROUP).load() for name, value in declared.items()}

    assert loaded == BUILTIN


async def test_every_kind_makes_a_tool_of_its_name(means: Means) -> None:
    tools = builtin_tools(means)

    assert {name: tool.kind for name, tool in tools.items()} == {name: name for name in kinds()}
    for tool in tools.values():
        await tool.close()


async def test_a_made_tool_runs(means: Means) -> None:
    tools = builtin_tools(means)

    done = await tools["duckdb"].run(call(tools["duckdb"], {"query": "SELECT 1 AS n"}))

    assert getattr(done, "value", {})["row_count"] == 1
    await tools["duckdb"].close()


def test_program_text_and_older_spellings_are_told_to_the_language() -> None:
    known = kinds()

    assert known["python"].templated_text == {"code"}
    assert known["duckdb"].templated_text == {"query", "command", "commands", "script"}
    assert known["http"].aliases["endpoint"] == "url"


class Echo(Noop):
    kind = "echo"


echo = Plugin(tool=Echo, make=lambda _: Echo())


def test_a_kind_whose_library_is_missing_is_known_and_not_installed() -> None:
    known = Plugin(tool=Echo, make=lambda _: Echo(), needs=("json", "no_such_module"), extra="echo").kind

    assert (known.installed, known.extra) == (False, "echo")
    assert echo.kind.installed


def installed(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    entries = [EntryPoint(name, value, GROUP) for name, value in values.items()]
    monkeypatch.setattr(builtin, "entry_points", lambda group: entries)


def test_a_plugin_adds_a_kind_and_replaces_none(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, echo=f"{__name__}:echo", python=f"{__name__}:echo")

    assert kinds()["echo"].nature == "pure"
    assert kinds()["python"].config is BUILTIN["python"].tool.config


def test_a_broken_plugin_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, absent="no_such_module:plugin", other=f"{__name__}:PROJECT")

    assert kinds().keys() == BUILTIN.keys()
    assert [record.getMessage() for record in caplog.records] == [
        "the tool plugin 'absent' (no_such_module:plugin) cannot be loaded; mend or remove it",
        f"the tool plugin 'other' ({__name__}:PROJECT) is no Plugin; mend or remove it",
    ]
