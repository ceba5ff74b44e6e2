"""One iteration of an execution is cancelled, retried and forked, by commands against an installation that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Ended, written
from tests.cli.conftest import Up

pytestmark = pytest.mark.slow

LOOP = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: addressed, path: examples/addressed}
workload: {folder: "", factor: 10}
workflow:
  - step: load
    loop: {in: 4, iterator: i, spec: {mode: parallel, policy: {on_error: continue}}}
    tool:
      kind: python
      input: {i: "{{ iter.i }}", folder: "{{ workload.folder }}", factor: "{{ workload.factor }}"}
      code: |
        import pathlib, time
        if pathlib.Path(folder, f"broken.{i}").exists():
            raise ValueError("broken")
        if pathlib.Path(folder, f"stuck.{i}").exists():
            time.sleep(300)
        result = i * factor
    next: last
  - step: last
    tool: {kind: noop, result: "{{ load.stats }}"}
"""


class Asked:
    """An execution of the loop, whose iterations meet what lies in `folder`."""

    def __init__(self, up: Up, folder: Path, *faults: str) -> None:
        self.up, self.folder = up, folder
        for fault in faults:
            (folder / fault).touch()
        assert up("register", written(folder, "addressed.yaml", LOOP)).code == 0
        asked = up("submit", "examples/addressed", "--set", f"folder={folder}", "--json")
        self.id = str(asked.json()["execution_id"])

    def mend(self, fault: str) -> None:
        (self.folder / fault).unlink()

    def __call__(self, command: str, *arguments: object) -> Ended:
        return self.up(command, self.id, *arguments)

    async def until(self, **blocks: str) -> dict[str, Any]:
        """The state once just these blocks of the loop are in flight, each of them offered or claimed as this attempt."""
        wanted = {f"load/0/{name[1:]}": int(attempt) for name, attempt in blocks.items()}
        async with asyncio.timeout(40):
            while True:
                state = (await asyncio.to_thread(self, "replay", "--json")).json()
                if {name: block["attempt"] for name, block in state["blocks"].items()} == wanted:
                    return state  # type: ignore[no-any-return]


async def test_one_iteration_of_a_loop_is_cancelled_retried_and_forked(up: Up, tmp_path: Path) -> None:
    asked = Asked(up, tmp_path, "broken.0", "stuck.1")
    await asked.until(i1="0")

    asked.mend("broken.0")
    again = asked("retry", "--step", "load[0]")
    assert (again.code, again.out) == (0, "'load[0]' runs again, as attempt 2\n")
    assert asked("retry", "--step", "load[1]", "--json").json() == {
        "execution_id": asked.id,
        "retry": "load[1]",
        "block": "load/0/1",
        "attempt": 1,
    }
    await asked.until(i1="1")
    stopped = asked("cancel", "--step", "load[1]", "--reason", "wrong month")
    assert (stopped.code, stopped.out) == (0, "'load[1]' is cancelled\n")

    report = await up.ended(asked.id)
    assert report["results"]["last"] == {"total": 4, "success": 3, "failed": 1}
    load = report["results"]["load"]["results"]
    assert (load[0], load[2], load[3]) == (0, 20, 30)
    assert load[1]["error"] == {"kind": "cancelled", "message": "wrong month"}

    asked.mend("stuck.1")
    fork = asked("fork", "--from", "load[1]", "--set", "factor=100", "--wait", "--json")
    assert fork.code == 0, fork.err
    told = fork.json()
    assert told["results"]["load"]["results"] == [0, 100, 20, 30]
    assert told["results"]["last"] == {"total": 4, "success": 4, "failed": 0}
    assert told["forked_from"]["execution_id"] == asked.id
    first = up("events", told["execution_id"]).out.splitlines()[0]
    assert f"forked from execution {asked.id} at 'load#0[1]' with other 'factor'" in first
    hashes = {up("replay", told["execution_id"], "--json").json()["state_hash"] for _ in range(2)}
    assert len(hashes) == 1


async def test_what_is_over_says_how_to_go_on(up: Up, tmp_path: Path) -> None:
    asked = Asked(up, tmp_path)
    await up.ended(asked.id)

    for ended in (asked("retry", "--step", "load[1]"), asked("cancel", "--step", "load[1]")):
        assert (ended.code, ended.err) == (
            2,
            f"execution {asked.id} has ended; fork it: noetl-stream fork {asked.id} --from 'load[1]'\n",
        )
    assert asked("fork", "--from", "load[9]").err == (
        "step 'load' has 4 iterations, 0 to 3; 9 is none of them\n"
    )
    assert asked("fork", "--from", "lod[1]").err == (
        "no step 'lod' has been entered; did you mean 'load[1]'?\n"
    )


async def test_a_fork_may_run_another_version_if_the_past_fits_it(up: Up, tmp_path: Path) -> None:
    asked = Asked(up, tmp_path)
    await up.ended(asked.id)
    newer = LOOP.replace('"{{ load.stats }}"', '"{{ load.stats.total + 1 }}"')
    assert up("register", written(tmp_path, "addressed.yaml", newer)).code == 0
    renamed = LOOP.replace("step: load", "step: bring").replace("load.stats", "bring.stats")
    assert up("register", written(tmp_path, "addressed.yaml", renamed)).code == 0
    version = up("list", "--json").json()
    newest = next(entry["versions"] for entry in version if entry["path"] == "examples/addressed")

    fork = asked("fork", "--from", "last", "--version", newest - 1, "--wait", "--json")
    misfit = asked("fork", "--from", "load[1]", "--version", newest)
    absent = asked("fork", "--from", "last", "--version", newest + 7)

    assert fork.json()["results"]["last"] == 5
    assert misfit.err == (
        f"version {newest} of 'examples/addressed' cannot go on from there: it has no step 'load', "
        "where the past stands; fork an earlier step\n"
    )
    assert absent.err == (
        f"playbook 'examples/addressed' has no version {newest + 7}; see `noetl-stream list`\n"
    )


async def test_the_same_key_is_the_same_fork(up: Up, tmp_path: Path) -> None:
    asked = Asked(up, tmp_path)
    await up.ended(asked.id)

    first, second = (asked("fork", "--from", "last", "--key", "k", "--json").json() for _ in "12")

    assert first == second
