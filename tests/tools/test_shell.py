"""The shell and script tools: what runs, in which surroundings, what comes back, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from noetl_stream.errors import ToolError
from noetl_stream.tools.shell import ScriptTool, Shell, ShellConfig
from tests.tools.conftest import runner, runs, unreachable, until

shell = runner(Shell())
script = runner(ScriptTool(unreachable))


async def test_a_result_is_the_exit_code_and_both_outputs() -> None:
    assert await shell({"command": "echo out; echo err >&2"}) == {
        "exit_code": 0,
        "stdout": "out\n",
        "stderr": "err\n",
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("config", "stdout"),
    [
        ({"command": "echo $((1 + 1)) | cat"}, "2\n"),
        ({"command": ["echo", "$HOME; ls", 5]}, "$HOME; ls 5\n"),
        ({"cmd": "echo a"}, "a\n"),
        ({"cmds": ["x=1", "echo $x", ["echo", "a b", "*"]]}, "1\na b *\n"),
        ({"cmds": "echo a\necho b"}, "a\nb\n"),
        ({"command": "cat", "stdin": "given"}, "given"),
        ({"command": "echo $A-$B", "env": {"A": 1, "B": {"c": None}}}, '1-{"c":null}\n'),
    ],
)
async def test_a_command_is_text_or_words(config: dict[str, Any], stdout: str) -> None:
    assert (await shell(config))["stdout"] == stdout


@pytest.mark.parametrize("config", [{}, {"command": []}, {"command": "a", "cmds": ["b"]}, {"cmds": []}])
def test_a_config_is_one_command(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShellConfig.model_validate(config)


async def test_inputs_are_its_environment_and_never_its_text() -> None:
    inputs = {"name": "x; echo stolen", "rows": [1, 2], "none": None}

    assert (await shell({"command": 'echo "$name" $rows ${none-unset}'}, input=inputs))["stdout"] == (
        "x; echo stolen [1,2] unset\n"
    )


async def test_no_secret_of_ours_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")

    lines = (await shell({"command": "env"}))["stdout"].splitlines()

    names = {line.partition("=")[0] for line in lines}
    assert names <= {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "SHLVL", "_"}


async def test_it_works_in_a_folder_of_its_own_that_does_not_stay(tmp_path: Path) -> None:
    made = (await shell({"command": "touch left; pwd"}))["stdout"].strip()

    assert made.startswith("/")
    assert not await asyncio.to_thread(Path(made).exists)
    assert (await shell({"command": "pwd", "cwd": str(tmp_path)}))["stdout"] == f"{tmp_path}\n"
    with pytest.raises(ToolError, match=r"the folder '/nowhere' cannot be worked in .*; check `cwd`"):
        await shell({"command": "pwd", "cwd": "/nowhere"})


@pytest.mark.parametrize(
    ("config", "sentence", "code"),
    [
        (
            {"command": "echo why >&2; exit 3"},
            r"^the shell task ended with exit status 3: why; see its `stderr`$",
            "3",
        ),
        ({"cmds": ["false", "echo not reached"]}, r"^the shell task ended with exit status 1; see", "1"),
        ({"command": "kill -9 $$"}, r"^the shell task ended with signal 9; see", "-9"),
        ({"command": ["no-such-command"]}, r"exit status 127: .*not found", "127"),
    ],
)
async def test_a_failure_is_an_error_that_carries_the_outputs(
    config: dict[str, Any], sentence: str, code: str
) -> None:
    with pytest.raises(ToolError, match=sentence) as failed:
        await shell(config)

    error = failed.value
    assert (error.kind, error.code, error.retryable) == ("client_error", code, False)
    assert isinstance(error.value, dict)
    assert (error.value["exit_code"], error.value["stdout"]) == (int(code), "")


async def test_output_beyond_the_bound_is_cut_and_said_so() -> None:
    result = await shell({"command": "yes | head -c 300000", "limits": {"output_bytes": 1000}})

    assert (len(result["stdout"]), result["truncated"]) == (1000, True)


@pytest.mark.slow
async def test_limits_hold() -> None:
    with pytest.raises(ToolError, match="ended with signal"):
        await shell({"command": ["/bin/sh", "-c", "while :; do :; done"], "limits": {"cpu_seconds": 1}})
    with pytest.raises(ToolError, match="ended with"):
        await shell({"command": "head -c 200000000 /dev/zero | tail", "limits": {"memory_bytes": 50 << 20}})


async def test_when_its_time_is_over_all_it_started_is_killed(tmp_path: Path) -> None:
    command = f"sleep 60 & echo $! > {tmp_path}/pid; wait"

    with pytest.raises(ToolError, match=r"the shell task ran longer than 0.5 s and was stopped") as late:
        await shell({"command": command}, timeout=0.5)

    assert (late.value.kind, late.value.retryable) == ("timeout", True)
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not runs(pid))


async def test_cancelled_it_is_killed(tmp_path: Path) -> None:
    running = asyncio.create_task(shell({"command": f"echo $$ > {tmp_path}/pid; exec sleep 60"}))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running

    pid = int((tmp_path / "pid").read_text())
    await until(lambda: not runs(pid))


async def test_what_it_leaves_in_the_background_ends_with_it() -> None:
    pid = int((await shell({"command": "sleep 60 & echo $!"}))["stdout"])

    await until(lambda: not runs(pid))


@pytest.mark.slow
async def test_what_escapes_its_session_does_not_hold_us() -> None:
    result = await shell({"command": "setsid sleep 3 & echo said"})

    assert (result["exit_code"], result["stdout"]) == (0, "said\n")


async def test_a_script_runs_as_its_first_line_says(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:], '{{ x }}')")

    elsewhere = await script({"script": {"uri": str(tmp_path / "task.py")}, "args": ["a b", 1]})
    inline = await script({"script": {"source": {"code": "echo $1 $x"}}, "args": ["y"]}, input={"x": "z"})
    other = await script({"script": "print('said')", "interpreter": "python3 -I"})

    assert elsewhere["stdout"] == "['a b', '1'] {{ x }}\n"
    assert (inline["stdout"], other["stdout"]) == ("y z\n", "said\n")


async def test_a_script_with_a_job_is_told_that_it_needs_more() -> None:
    with pytest.raises(ToolError, match=r"a script with a `job` needs Kubernetes") as refused:
        await script({"script": "true", "job": {"image": "alpine"}})
    assert refused.value.kind == "not_installed"


async def test_a_command_cancelled_while_it_is_being_ended_leaves_nothing_open(tmp_path: Path) -> None:
    """Two limits that pass together cancel twice: the tool's own and that of whoever waits for it."""
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    before = len(os.listdir("/proc/self/fd"))
    escaping = f"echo $$ > {tmp_path}/pid; setsid sh -c 'echo $$ > {begun}; exec sleep 60' & wait"
    running = asyncio.create_task(shell({"command": escaping}))
    escaped = int(await asyncio.to_thread(begun.read_text))

    try:
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        # What an earlier test left open may be closed meanwhile.
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
        # No zombie either: it would be reaped for an event loop that is closed by then.
        await until(lambda: not Path("/proc", (tmp_path / "pid").read_text().strip()).exists())
    finally:
        os.kill(escaped, signal.SIGKILL)
