"""The wasm tool: a WebAssembly module over the task's input, in a sandbox that holds nothing it was not granted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.task_threads import TaskThreads
from noetl_stream.tools.wasm.config import WasmConfig

if TYPE_CHECKING:
    from noetl_stream.tools.wasm.modules import Modules


class Wasm:
    """`kind: wasm`. It writes as far as anyone can tell: it may be granted folders."""

    kind: ClassVar[str] = "wasm"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = WasmConfig

    def __init__(self, files: Path | None, *, threads: int = 4, memory: int | None = None) -> None:
        """`files` is the folder that is open to tasks, `threads` bounds the tasks at once, `memory` what each may ask for."""
        self._files, self._memory = files, memory
        self._threads = TaskThreads(self.kind, threads)
        self._modules: Modules | None = None

    async def run(self, call: Call) -> Done:
        # wasmtime is an extra, and loaded by the first task.
        from noetl_stream.tools.wasm.modules import Modules
        from noetl_stream.tools.wasm.run import Run

        self._modules = self._modules or Modules()
        config: WasmConfig = call.config
        memory = min(config.limits.memory_bytes, self._memory or config.limits.memory_bytes)
        run = Run(config, call.input, self._modules, self._files, memory)
        return Done(value=await self._threads.run(run, "", call.timeout))

    async def close(self) -> None:
        self._threads.close()
