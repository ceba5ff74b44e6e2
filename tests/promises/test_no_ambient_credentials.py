"""No business credential is read from the environment, nor found by a library's own search, but where an operator says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT: Mapping[str, frozenset[str]] = {
    "noetl_stream/settings.py": frozenset(
        {"settings_from_environment", "visible_environment", "development_secrets"}
    ),
    "noetl_stream/cli/options.py": frozenset({"names_data"}),
    "agents/app.py": frozenset({""}),
}
"""Who looks at the environment, by function: the settings, what the operator lists for templates and for the development
provider, whether a data folder was chosen, and where Faust puts its files."""
AMBIENT: Mapping[str, frozenset[str]] = {"noetl_stream/keychain/providers/aws.py": frozenset({"Session"})}
"""Whose search of a platform's own credentials an operator can ask for by name."""
SEARCHES = frozenset(
    {
        "Session", "DefaultAzureCredential", "EnvironmentCredential", "ChainedTokenCredential", "from_env",
        "load_kube_config", "load_incluster_config", "load_config", "boto3",
    }
)  # fmt: skip
"""What starts a library's own search."""
LOOKS = frozenset({"environ", "environb", "getenv", "getenvb"})


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("noetl_stream", "agents"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(part.is_symlink() for part in path.parents):
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def names_in(node: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Every name that is used, with the function in which it is."""
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        match child:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                yield name, inner
            case ast.ImportFrom(names=names, module=module):
                yield from ((each.name, inner) for each in names)
                yield (module or "").partition(".")[0], inner
            case ast.Import(names=names):
                yield from ((each.name.partition(".")[0], inner) for each in names)
        yield from names_in(child, inner)


def found(wanted: frozenset[str]) -> set[tuple[str, str, str]]:
    """(file, function, name) of each use of one of these names."""
    return {
        (file, function, name)
        for file, tree in sources()
        for name, function in names_in(tree)
        if name in wanted
    }


def test_the_environment_is_looked_at_by_the_settings_alone() -> None:
    looks = {(file, function) for file, function, _ in found(LOOKS)}

    assert {file for file, _ in looks} == set(ENVIRONMENT)
    assert {each for each in looks if each[1] not in ENVIRONMENT[each[0]]} == set()


def test_no_library_searches_for_credentials_by_itself() -> None:
    ours = {"noetl_stream/tools"}  # a tool's own session of SQL has that name too, and searches for nothing
    searches = {
        (file, name)
        for file, _, name in found(SEARCHES)
        if name not in AMBIENT.get(file, frozenset())
        and not (name == "Session" and any(file.startswith(each) for each in ours))
    }

    assert searches == set()


@pytest.mark.parametrize(
    "code",
    [
        "import os\ndef f(): return os.environ['PGPASSWORD']",
        "from os import getenv\ndef f(): return getenv('X')",
        "def f():\n    import os\n    return os.getenv('X')",
    ],
)
def test_a_look_at_the_environment_would_be_found(code: str) -> None:
    assert {name for name, _ in names_in(ast.parse(code))} & LOOKS


@pytest.mark.parametrize(
    "code",
    ["import boto3", "from azure.identity import DefaultAzureCredential", "S3Store.from_env(bucket)"],
)
def test_a_search_would_be_found(code: str) -> None:
    assert {name for name, _ in names_in(ast.parse(code))} & SEARCHES
