"""The shell and script tools: a command as text or words, or a program from elsewhere, and what it printed."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from pydantic import AliasChoices, BaseModel, Field, model_validator

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.running import ProcessConfig, run_in_folder
from noetl_stream.tools.script import Script, Scripts

Words: TypeAlias = list[str | int | float]


class ShellConfig(ProcessConfig):
    command: str | Words | None = Field(
        None,
        validation_alias=AliasChoices("command", "cmd", "argv"),
        description="text for `/bin/sh`, or a list of words, which no shell reads",
    )
    cmds: str | list[str | Words] | None = Field(
        None, description="several such, in one shell; the first that fails ends it"
    )

    @model_validator(mode="after")
    def _one_command(self) -> ShellConfig:
        if (self.command is None) == (self.cmds is None) or [] in (self.command, self.cmds):
            raise ValueError("shell needs `command` or `cmds`, and not both")
        return self


class ScriptConfig(ProcessConfig):
    script: str | Script = Field(
        description="the program, or where it is as under python; never rendered if fetched"
    )
    args: Words = Field(default_factory=list, description="the words it is called with")
    interpreter: str | Words | None = Field(
        None, description="what runs it; by default what its `#!` line says, else `/bin/sh`"
    )
    job: dict[str, Any] | None = Field(
        None,
        description="a Kubernetes Job to run it in: not in this version, the task fails with `not_installed`",
    )


class Shell:
    """`kind: shell`."""

    kind: ClassVar[str] = "shell"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ShellConfig

    def __init__(self, scratch: Path | None = None) -> None:
        """`scratch` is where its commands get their folders; by default where the system has such."""
        self._scratch = scratch

    async def run(self, call: Call) -> Done:
        return await run_in_folder(call, self.kind, lambda _: shell_words(call.config), self._scratch)

    async def close(self) -> None:
        """Nothing is held open."""


class ScriptTool:
    """`kind: script`."""

    kind: ClassVar[str] = "script"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ScriptConfig

    def __init__(self, scripts: Scripts, scratch: Path | None = None) -> None:
        """`scratch` as of `Shell`."""
        self._scripts, self._scratch = scripts, scratch

    async def run(self, call: Call) -> Done:
        config: ScriptConfig = call.config
        if config.job is not None:
            raise ToolError(
                "a script with a `job` needs Kubernetes, which this version does not call; "
                "leave `job` out to run it on the worker",
                kind="not_installed",
            )
        script = config.script
        if isinstance(script, Script):
            script = await self._scripts.of_task(script, call)
        return await run_in_folder(call, self.kind, partial(_script_words, config, script), self._scratch)

    async def close(self) -> None:
        """Nothing is held open."""


def shell_words(config: ShellConfig) -> list[str]:
    """The command as words; what is text is left to `/bin/sh`."""
    if isinstance(config.command, list):
        return _texts(config.command)
    if config.command is not None:
        return ["/bin/sh", "-c", config.command]
    cmds = [config.cmds] if isinstance(config.cmds, str) else config.cmds or []
    lines = [each if isinstance(each, str) else shlex.join(_texts(each)) for each in cmds]
    return ["/bin/sh", "-e", "-c", "\n".join(lines)]


def _script_words(config: ScriptConfig, text: str, folder: Path) -> list[str]:
    """The script is written into the folder first."""
    program = folder / "script"
    program.write_text(text)
    return [*_interpreter(config, text), str(program), *_texts(config.args)]


def _interpreter(config: ScriptConfig, text: str) -> list[str]:
    match config.interpreter:
        case str(named):
            return shlex.split(named)
        case list(words):
            return _texts(words)
        case _ if text.startswith("#!"):
            return shlex.split(text.partition("\n")[0][2:])
        case _:
            return ["/bin/sh"]


def _texts(words: Words) -> list[str]:
    return [str(word) for word in words]
