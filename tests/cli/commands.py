"""Commands as people start them: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "noetl_stream.cli")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def noetl(*arguments: object, settings: Mapping[str, object] | None = None) -> Ended:
    """Run a command to its end, with these settings in its environment and no others of ours."""
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)


def started(*arguments: object, settings: Mapping[str, object] | None = None) -> subprocess.Popen[str]:
    """Start a command and leave it running."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment(settings: Mapping[str, object] | None) -> dict[str, str]:
    ours = {f"NOETL_STREAM_{name.upper()}": str(value) for name, value in (settings or {}).items()}
    return {name: text for name, text in os.environ.items() if not name.startswith("NOETL_STREAM_")} | ours


def written(folder: Path, name: str, text: str) -> Path:
    """A playbook's file."""
    file = folder / name
    file.write_text(text)
    return file
