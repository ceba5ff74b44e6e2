"""`fmt`, `schema` and `validate` as people and their CI call them."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from noetl_stream.cli.main import app
from tests.cli.commands import written
from tests.cli.documents import BROKEN, HELLO, WARNED

UNTIDY = """\
kind: Playbook
apiVersion: noetl.io/v2
metadata: {name: hello}
workflow:
- tool: {kind: noop, args: {a: 1}} # does nothing
  step: start
"""
TIDY = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: hello}

workflow:
  - step: start
    tool: {kind: noop, input: {a: 1}} # does nothing
"""


def test_a_file_is_put_into_canonical_form_once(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", UNTIDY)

    first, second = (CliRunner().invoke(app, ["fmt", str(file)]) for _ in range(2))

    assert file.read_text() == TIDY
    assert (first.exit_code, first.stderr) == (0, "1 of 1 playbook changed\n")
    assert (second.exit_code, second.stderr) == (0, "0 of 1 playbook changed\n")


def test_a_check_writes_nothing_and_fails(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", UNTIDY)
    written(tmp_path, "b.yaml", TIDY)

    ended = CliRunner().invoke(app, ["fmt", str(tmp_path), "--check", "--json"])

    assert ended.exit_code == 1
    assert json.loads(ended.stdout) == {
        "files": [str(file), str(tmp_path / "b.yaml")],
        "changed": [str(file)],
    }
    assert file.read_text() == UNTIDY


def test_a_diff_shows_what_would_change(tmp_path: Path) -> None:
    file = written(tmp_path, "a.yaml", UNTIDY)

    ended = CliRunner().invoke(app, ["fmt", str(file), "--diff"])

    assert ended.exit_code == 0
    assert "-- tool: {kind: noop, args: {a: 1}} # does nothing\n" in ended.stdout
    assert "+    tool: {kind: noop, input: {a: 1}} # does nothing\n" in ended.stdout
    assert file.read_text() == UNTIDY


def test_stdin_is_formatted_to_stdout() -> None:
    assert CliRunner().invoke(app, ["fmt", "-"], input=UNTIDY).stdout == TIDY
    assert CliRunner().invoke(app, ["fmt", "-"], input=TIDY).stdout == TIDY


def test_a_file_that_is_no_yaml_is_named_and_the_others_are_formatted(tmp_path: Path) -> None:
    bad, good = written(tmp_path, "a.yaml", "kind: [\n"), written(tmp_path, "b.yaml", UNTIDY)

    ended = CliRunner().invoke(app, ["fmt", str(bad), str(good)])

    assert ended.exit_code == 2
    assert f"{bad}:2:1: error: YAML:" in ended.stderr
    assert good.read_text() == TIDY


def test_the_schema_goes_to_stdout_or_a_file(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["schema"])
    ended = CliRunner().invoke(app, ["schema", "--out", str(tmp_path / "s.json")])

    assert (shown.exit_code, ended.exit_code, ended.stdout) == (0, 0, "")
    assert json.loads(shown.stdout) == json.loads((tmp_path / "s.json").read_text())


def test_a_folder_that_is_not_there_is_infrastructure(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["schema", "--out", str(tmp_path / "none" / "s.json")])

    assert ended.exit_code == 3
    assert "cannot be written" in ended.stderr


def test_several_places_are_validated_with_a_sentence_of_counts(tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    files = [str(written(folder, "hello.yaml", HELLO)), str(written(tmp_path, "warned.yaml", WARNED))]

    fine = CliRunner().invoke(app, ["validate", str(folder), files[1]])
    strict = CliRunner().invoke(app, ["validate", *files, "--strict"])
    written(folder, "broken.yaml", BROKEN)
    broken = CliRunner().invoke(app, ["validate", str(tmp_path), "--json"])

    assert (fine.exit_code, fine.stdout) == (0, "2 playbooks can run, 1 warning\n")
    assert (strict.exit_code, strict.stdout) == (2, "1 of 2 playbooks cannot run: 1 warning\n")
    found = json.loads(broken.stdout)
    assert (broken.exit_code, found["valid"], found["errors"], found["warnings"]) == (2, False, 3, 2)
    assert {p["severity"] for p in found["problems"]} == {"error", "warning"}
