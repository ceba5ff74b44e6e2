"""`keychain` on an installation that stands still: what is set is seen by its names, used, changed, and on record."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, Ended, environment, noetl, written
from tests.cli.documents import HELLO

CANARY = "canary-5up3r-s3cr3t"
USES = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: uses, path: finance/uses}
workflow:
- step: a
  tool: {kind: python, input: {p: "{{ keychain.pg_main.password }}"}, code: "print(p); result = [len(p), p]"}
"""


def files_with(folder: Path, text: str) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and text.encode() in file.read_bytes():
            yield file


def with_input(text: str, *arguments: object, settings: dict[str, object]) -> Ended:
    """A command that reads this on stdin."""
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=text,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_credential_s_life(tmp_path: Path) -> None:
    """Set without being seen, used by a playbook, rotated, moved under another key, deleted: all on record, no value anywhere."""
    data, old, new = tmp_path / "data", tmp_path / "old.key", tmp_path / "new.key"
    playbook = written(tmp_path, "uses.yaml", USES)
    assert noetl("run", written(tmp_path, "hello.yaml", HELLO), "--data", data, "--quiet").code == 0
    assert noetl("keychain", "new-key", old).code == noetl("keychain", "new-key", new).code == 0

    ours: dict[str, object] = {"data": data, "keychain_key_file": old}
    options = ("--type", "postgres", "--field", "host=db", "--ask", "password")
    told = with_input(f"{CANARY}\n", "keychain", "set", "pg_main", *options, settings=ours)
    assert (told.code, told.out, told.err) == (0, "pg_main version 1 is set\n", "")

    (shown,) = noetl("keychain", "show", "pg_main", "--json", settings=ours).json()
    assert (shown["type"], shown["version"], shown["fields"]) == ("postgres", 1, ["host", "password"])

    ran = noetl("run", playbook, "--json", settings=ours)
    assert ran.json()["results"]["a"] == [len(CANARY), "[keychain.pg_main]"], ran.err
    assert "printed: [keychain.pg_main]" in ran.err

    keyless = noetl("run", playbook, settings={"data": data})
    assert keyless.code == 3
    assert "holds 1 credential, and this worker has no key to open them" in keyless.err

    rotated = with_input(f"{CANARY}-2\n", "keychain", "rotate", "pg_main", "--ask", "password", settings=ours)
    assert rotated.out == "pg_main version 2 is rotated; version 1 is kept 3600 s\n"

    moved = ours | {"keychain_key_file": new, "keychain_old_key_files": old}
    assert len(noetl("keychain", "rotate-key", "--json", settings=moved).json()["rewrapped"]) == 1
    again = noetl("run", playbook, "--json", settings={"data": data, "keychain_key_file": new})
    assert again.json()["results"]["a"] == [len(CANARY) + 2, "[keychain.pg_main]"], again.err
    wrong = with_input("x\n", "keychain", "set", "other", "--ask", "password", settings=ours)
    assert wrong.code == 2
    assert "name the right one" in wrong.err

    assert noetl("keychain", "delete", "pg_main", settings=ours).out == "pg_main is deleted\n"
    assert noetl("keychain", "list", "--json", settings=ours).json() == []
    rows = noetl("keychain", "audit", "pg_main", "--json", settings=ours).json()
    assert [(row["what"], row["version"]) for row in rows] == [
        ("set", 1), ("used (keychain)", 1), ("rotate", 2), ("rotate-key", 2), ("used (keychain)", 2), ("delete", None)
    ]  # fmt: skip
    assert {row["where"] for row in rows if row["what"].startswith("used")} == {"finance/uses a/0/0"}
    assert list(files_with(data, CANARY)) == []
    everything = [told, ran, keyless, rotated, again, wrong]
    assert CANARY not in "".join(each.out + each.err for each in everything)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "pg"], "say the value in one way"),
        (["set", "pg", "--text", "t", "--from", "f"], "say the value in one way"),
        (["set", "pg", "--text", "none.txt"], "none.txt cannot be read"),
        (["set", "pg", "--from", "list.json"], "is no JSON object with fields"),
        (["set", "pg", "--from", "broken.json"], "is no JSON (line 1, column 7)"),
        (["set", "pg", "--field-file", "password=empty.txt"], "is empty; a credential is never empty"),
        (["set", "pg", "--field-file", "password"], "--field-file: write NAME=FILE"),
        (["set", "pg", "--text", "bytes.bin"], "is no text in UTF-8"),
        (["set", "pg", "--scope", "planet", "--text", "t"], "there is no scope 'planet'; use local, shared"),
        (["set", "pg", "--scope", "local", "--text", "t"], "belongs to a path of the catalog; say which with --path"),
        (["set", "pg", "--path", "x", "--text", "t"], "a credential of scope catalog has no --path"),
        (["set", "pg", "--text", "t"], "no key is named; make one with `noetl-stream keychain new-key FILE`"),
        (["rotate-key"], "no key is named"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_with_the_next_step_and_without_the_value(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text(CANARY)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "list.json").write_text(f'["{CANARY}"]')
    (tmp_path / "broken.json").write_text('{"p": "canary-5up3r')
    (tmp_path / "bytes.bin").write_bytes(b"\xff\xfe")

    ended = noetl("keychain", *arguments)

    assert ended.code == 2
    assert sentence in ended.err
    assert "5up3r" not in ended.err


def test_a_field_in_the_open_is_warned_of_unless_it_is_no_secret(tmp_path: Path) -> None:
    ended = noetl("keychain", "set", "pg", "--field", "host=db", "--field", f"password={CANARY}")

    assert "--field password=… is seen by everybody on this machine" in ended.err
    assert "--ask password" in ended.err
    assert "--field host" not in ended.err
    assert CANARY not in ended.err
