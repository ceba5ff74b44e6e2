"""What can be said of playbooks without starting anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from noetl_stream.cli.main import app
from tests.cli.commands import written
from tests.cli.documents import BROKEN, BROKEN_AT, CUT_OFF, HELLO, WARNED

HEAVY = ("aiokafka", "duckdb", "faust", "noetl_stream.broker.launch", "numpy", "polars", "pyarrow")


def test_every_problem_is_listed_with_its_place_and_a_suggestion(tmp_path: Path) -> None:
    file = written(tmp_path, "broken.yaml", BROKEN)

    ended = CliRunner().invoke(app, ["validate", str(file)])

    assert ended.exit_code == 2
    errors = [line for line in ended.stderr.splitlines() if ": error: " in line]
    assert [line.split(": ")[0] for line in errors] == [f"{file}:{at}" for at in BROKEN_AT]
    assert ended.stdout == "1 of 1 playbook cannot run: 3 errors, 1 warning\n"
    assert "did you mean 'python'?" in ended.stderr
    assert "did you mean 'input'?" in ended.stderr


def test_a_document_that_is_cut_off_is_named_with_the_place(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["validate", str(written(tmp_path, "cut.yaml", CUT_OFF))])

    assert ended.exit_code == 2
    assert "cut.yaml:2:1: error: YAML:" in ended.stderr


def test_a_folder_is_validated_whole_and_what_is_no_playbook_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "hello.yaml", HELLO)
    written(tmp_path, "broken.yml", BROKEN)
    written(tmp_path, "compose.yaml", "services: {}\n")

    ended = CliRunner().invoke(app, ["validate", str(tmp_path), "--json"])
    found = json.loads(ended.stdout)

    assert ended.exit_code == 2
    assert [Path(file).name for file in found["files"]] == ["broken.yml", "hello.yaml"]
    errors = [p for p in found["problems"] if p["severity"] == "error"]
    assert [(p["line"], p["column"]) for p in errors] == [(7, 13), (11, 17), (13, 5)]
    assert found["valid"] is False


def test_warnings_pass_unless_asked_to_be_strict(tmp_path: Path) -> None:
    file = str(written(tmp_path, "warned.yaml", WARNED))

    lenient, strict = (CliRunner().invoke(app, ["validate", file, *more]) for more in ([], ["--strict"]))

    assert (lenient.exit_code, strict.exit_code) == (0, 2)
    assert lenient.stdout == "1 playbook can run, 1 warning\n"
    assert "step 'lonely' is never reached" in lenient.stderr


def test_a_graph_is_mermaid(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["graph", str(written(tmp_path, "hello.yaml", HELLO))])

    assert ended.exit_code == 0
    assert ended.stdout.startswith("flowchart TD\n")
    assert "s0 --> s1" in ended.stdout


def test_a_folder_without_playbooks_is_an_error(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["validate", str(tmp_path)])

    assert ended.exit_code == 2
    assert "there is no playbook under" in ended.stderr


def test_two_playbooks_of_one_path_are_not_registered(tmp_path: Path) -> None:
    written(tmp_path, "one.yaml", HELLO)
    written(tmp_path, "two.yaml", HELLO.replace("world", "you"))

    ended = CliRunner().invoke(app, ["register", str(tmp_path), "--data", str(tmp_path / "none")])

    assert ended.exit_code == 2
    assert "both have the path 'examples/hello'" in ended.stderr


def test_checking_and_drawing_load_no_heavy_library_and_no_broker(tmp_path: Path) -> None:
    """They are what an editor calls at every keystroke."""
    file = written(tmp_path, "hello.yaml", HELLO)
    program = f"""
import sys
from noetl_stream.cli.main import app
for command in ("validate", "graph"):
    app([command, {str(file)!r}], standalone_mode=False)
app(["run", "--help"], standalone_mode=False)
print([name for name in {HEAVY!r} if name in sys.modules])
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"
