"""Compiled modules: compiling takes long, so that each is compiled once, whoever asks, and the last ones are kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from wasmtime import Config, Engine, Module, WasmtimeError

from noetl_stream.errors import ToolError


def new_engine() -> Engine:
    """An engine for one run: to stop a run is to move its engine's clock, which shall stop no other.

    Where a processor leaves results open, they are the same on every processor.
    """
    config = Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_threads = False
    return Engine(config)


class Modules:
    """Compiled modules by their content, `size` of them at most. Used by several threads at once."""

    def __init__(self, size: int = 64, compiled: Callable[[bytes], bytes] | None = None) -> None:
        self._size, self._machine_code = size, compiled or machine_code
        self._lock = threading.Lock()
        self._compiled: OrderedDict[str, Future[bytes]] = OrderedDict()

    def load(self, content: bytes, engine: Engine) -> Module:
        """The module for an engine that `new_engine` made.

        Raises:
            ToolError: it is no valid module.
        """
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            known = self._compiled.get(digest)
            compiled = known or self._compiled.setdefault(digest, Future())
            self._compiled.move_to_end(digest)
            while len(self._compiled) > self._size:
                self._compiled.popitem(last=False)
        if known is None:
            self._compile(digest, content, compiled)
        return Module.deserialize(engine, compiled.result())

    def _compile(self, digest: str, content: bytes, compiled: Future[bytes]) -> None:
        try:
            compiled.set_result(self._machine_code(content))
        except BaseException as fault:
            with self._lock:
                self._compiled.pop(digest, None)
            compiled.set_exception(fault)


def machine_code(content: bytes) -> bytes:
    """A module for any engine that `new_engine` makes.

    Raises:
        ToolError: it is no valid module.
    """
    try:
        return bytes(Module(new_engine(), content).serialize())
    except WasmtimeError as error:
        raise ToolError(
            f"the wasm module is not valid: {' '.join(str(error).split())}; build it anew",
            kind="validation",
            code="invalid_module",
        ) from error
