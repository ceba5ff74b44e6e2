"""One warm child seen from its parent: start, one exchange at a time, and an end that takes its whole group along."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from noetl_stream.errors import InfrastructureError
from noetl_stream.tools.processes import bare_environment, kill_group
from noetl_stream.tools.warm.framing import PREFIX_BYTES, prefixed

# A fixed hash seed: what code makes of a set is the same again when it is recomputed.
_PYTHON = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one child. `cpu_seconds` is per call; `calls` is how many it serves before it is replaced."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    answer_bytes: int = 256 << 20
    calls: int = 10_000


class ChildEnded(Exception):
    """The child closed its pipe without an answer. `status` is its exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"ended with status {status}")


class Child:
    """A child process with its own session, environment and folder for temporary files."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._folder = process, folder
        self._asked, self._answers = process.stdin, process.stdout
        self.calls = 0

    @classmethod
    async def start(cls, scratch: Path, limits: Limits, environment: Mapping[str, str]) -> Child:
        """Start a child that inherits nothing of our environment.

        Raises:
            InfrastructureError: the system does not let us.
        """
        try:
            folder = Path(tempfile.mkdtemp(prefix="child-", dir=scratch))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-s", "-m", "noetl_stream.tools.warm.child"),
                orjson.dumps(asdict(limits)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**bare_environment(folder), **_PYTHON, **environment},
                start_new_session=True,
                limit=1 << 20,
            )
        except OSError as error:
            raise InfrastructureError(
                f"no python process could be started ({error}); check limits and memory"
            ) from error
        return cls(process, folder)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def exchange(self, request: bytes) -> bytes:
        """Ask, and wait for the answer.

        Raises:
            ChildEnded: the child died first.
        """
        self.calls += 1
        try:
            self._asked.write(prefixed(request))
            await self._asked.drain()
            prefix = await self._answers.readexactly(PREFIX_BYTES)
            return await self._answers.readexactly(int.from_bytes(prefix, "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.kill()
            raise ChildEnded(await self._process.wait()) from None

    def kill(self) -> None:
        """End the child and all that it started, at once."""
        kill_group(self._process.pid)
        self._asked.close()

    async def gone(self) -> None:
        """Wait for the end, and remove what it left."""
        await self._process.wait()
        # What escaped the group may hold the pipe open: it shall not hold us.
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1):
                await self._answers.read()
                await self._asked.wait_closed()
        shutil.rmtree(self._folder, ignore_errors=True)
