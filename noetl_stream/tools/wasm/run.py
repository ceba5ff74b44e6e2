"""One run of one module, in a thread: its input, its bounds, its result, and a way to stop it from another thread."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from wasmtime import ExitTrap, Linker, Memory, Module, Store, Trap, WasiConfig, WasmtimeError

from noetl_stream.core.values import Value
from noetl_stream.tools.wasm.binary import check_version, folder_under_root, module_bytes
from noetl_stream.tools.wasm.calling import Exports, input_json, over_memory, result_of, signature, spelled
from noetl_stream.tools.wasm.config import WasmConfig
from noetl_stream.tools.wasm.failing import Circumstances, failed, no_entry, too_large
from noetl_stream.tools.wasm.grants import WASI, check_granted
from noetl_stream.tools.wasm.modules import Modules, new_engine

log = logging.getLogger(__name__)

_LOGGED: Final = 64 << 10


class Run:
    """Used by one thread; the event loop only stops it. `memory` bounds the module's memory, in bytes."""

    def __init__(
        self, config: WasmConfig, given: Mapping[str, Value], modules: Modules, root: Path | None, memory: int
    ) -> None:
        self._config, self._given, self._modules, self._root, self._memory = (
            config,
            given,
            modules,
            root,
            memory,
        )
        self._engine = new_engine()
        self._output, self._errors = bytearray(), bytearray()

    def run(self, _: str) -> Value:
        """The module's result. Raises ToolError."""
        plugin = self._config.plugin
        content = module_bytes(plugin, self._root)
        module = self._modules.load(content, self._engine)
        check_version(content, plugin.version)
        check_granted(module.imports, self._config.capabilities)
        try:
            with (
                tempfile.NamedTemporaryFile(prefix="noetl-") as stdin,
                closing(self._bounded_store()) as store,
            ):
                if any(each.module == WASI for each in module.imports):
                    stdin.write(input_json(self._given))
                    stdin.flush()
                    store.set_wasi(self._wasi(stdin.name))
                return self._called(store, module)
        finally:
            if self._errors:
                log.info("wasm task printed: %s", self._printed)

    def stop(self) -> None:
        """Whatever it computes ends. May be called again and again."""
        self._engine.increment_epoch()

    @property
    def _printed(self) -> str:
        return self._errors.decode(errors="replace")

    def _bounded_store(self) -> Store:
        store = Store(self._engine)
        store.set_fuel(self._config.limits.fuel)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=self._memory, table_elements=1_000_000, instances=1, tables=8, memories=1
        )
        return store

    def _wasi(self, stdin: str) -> WasiConfig:
        """Its input is a file, which nothing but a file can be; its outputs come here."""
        granted, wasi = self._config.capabilities, WasiConfig()
        wasi.stdin_file = stdin
        wasi.stdout_custom, wasi.stderr_custom = self._written, self._said
        wasi.argv = [self._config.plugin.path or "plugin"]
        wasi.env = [(name, spelled(value)) for name, value in granted.env.items()]
        for name, folder in granted.files.items():
            wasi.preopen_dir(str(folder_under_root(self._root, folder.path)), name, folder.write)
        return wasi

    def _called(self, store: Store, module: Module) -> Value:
        exports: Exports = {}
        try:
            linker = Linker(self._engine)
            linker.define_wasi()
            exports |= linker.instantiate(store, module).exports(store)
            return self._result(store, exports)
        except (Trap, WasmtimeError) as error:
            if len(self._output) > self._config.limits.output_bytes:
                raise too_large(self._config.limits.output_bytes) from None
            raise failed(error, self._circumstances(store, exports)) from error

    def _result(self, store: Store, exports: Exports) -> Value:
        if signature(exports.get("_initialize"), store) == "() -> ()":
            exports["_initialize"](store)
        name = self._config.plugin.entry or ("_start" if "_start" in exports else "run")
        match signature(exports.get(name), store):
            case "() -> ()":
                try:
                    exports[name](store)
                except ExitTrap as end:
                    if end.code != 0:
                        raise
                return result_of(self._output)
            case "(i32, i32) -> i64":
                given = input_json(self._given)
                return result_of(over_memory(store, exports, name, given, self._config.limits.output_bytes))
            case None:
                raise no_entry(f"exports no function `{name}`")
            case other:
                raise no_entry(f"exports `{name}{other}`, which nobody knows how to call")

    def _circumstances(self, store: Store, exports: Exports) -> Circumstances:
        memory = exports.get("memory")
        return Circumstances(
            used=memory.data_len(store) if isinstance(memory, Memory) else 0,
            bound=self._memory,
            fuel=self._config.limits.fuel,
            errors=self._printed,
        )

    def _written(self, part: bytes) -> None:
        if len(self._output) <= self._config.limits.output_bytes:
            self._output += part
        if len(self._output) > self._config.limits.output_bytes:
            self.stop()

    def _said(self, part: bytes) -> None:
        self._errors += part[: _LOGGED - len(self._errors)]
