"""`exposed`: the playbooks that are tools for MCP clients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp_types import ListToolsResult
from typer.testing import CliRunner, Result

from noetl_stream.cli.main import app
from tests.playbooks.examples import PLAYBOOKS

DOCS = Path(__file__).parents[2] / "docs"
PRICE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: p, path: PATH, exposes_as_mcp: SAID}
workflow: [{step: a, tool: {kind: noop}}]
"""
SUBSCRIPTION = """\
apiVersion: noetl.io/v1
kind: Subscription
metadata: {name: orders}
spec: {source: kafka, topic: orders, dispatch: {playbook: shop/price}}
"""


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["exposed", *map(str, arguments)], env={"COLUMNS": "110"})


def written(folder: Path, name: str, path: str, said: str = "true") -> Path:
    file = folder / name
    file.write_text(PRICE.replace("PATH", path).replace("SAID", said))
    return file


def test_the_tools_of_a_folder_are_listed_as_the_docs_show_them() -> None:
    found = asked(PLAYBOOKS / "agent")

    assert found.exit_code == 0
    assert found.stdout in (DOCS / "cli.md").read_text()


def test_a_machine_reads_them_as_the_protocol_lists_them(tmp_path: Path) -> None:
    written(tmp_path, "a.yaml", "shop/price")
    written(tmp_path, "b.yaml", "shop/count", said="false")
    (tmp_path / "c.yaml").write_text(SUBSCRIPTION)

    found = ListToolsResult.model_validate(json.loads(asked(tmp_path, "--json").stdout))

    assert [tool.name for tool in found.tools] == ["shop_price"]


def test_where_none_is_a_tool_it_says_how_one_becomes_one(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", "shop/price", said="false")

    assert "`metadata: {exposes_as_mcp: true}`" in asked(file).stdout
    assert json.loads(asked(file, "--json").stdout) == {"tools": []}


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            "shop/price",
            "shop_price",
            "shop/price and shop_price would both be the tool 'shop_price'; give one",
        ),
        ("shop/price", "цена", "no name of an MCP tool is left of 'цена'"),
    ],
    ids=["clash", "no name"],
)
def test_what_cannot_be_tools_is_told(tmp_path: Path, first: str, second: str, told: str) -> None:
    written(tmp_path, "a.yaml", first)
    written(tmp_path, "b.yaml", second)

    found = asked(tmp_path)

    assert found.exit_code == 2
    assert told in found.stderr
