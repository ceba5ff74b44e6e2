"""What a module did instead of yielding a result, as a task's error."""

from __future__ import annotations

from dataclasses import dataclass

from wasmtime import ExitTrap, Trap, TrapCode, WasmtimeError

from noetl_stream.errors import ToolError
from noetl_stream.tools.processes import how_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the module had when it failed: memory in use and its bound in bytes, fuel at the start, and what it printed."""

    used: int
    bound: int
    fuel: int
    errors: str

    @property
    def last_line(self) -> str:
        said = self.errors.strip().rpartition("\n")[2]
        return f": {said}" if said else ""


def failed(error: Trap | WasmtimeError, then: Circumstances) -> ToolError:
    """The module's end. What it printed is the error's value."""
    if isinstance(error, ExitTrap):
        return _error(
            f"ended with {how_ended(error.code)}{then.last_line}; see its `stderr`", str(error.code), then
        )
    code = error.trap_code if isinstance(error, Trap) else None
    if code is TrapCode.OUT_OF_FUEL:
        return _error(
            f"used up its {then.fuel:,} units of fuel; raise `limits.fuel`, or let it do less",
            "fuel_exhausted",
            then,
        )
    if code is None and "exceeds memory limits" in str(error):
        return _error(
            f"needs more memory than its {_mib(then.bound)}; raise `limits.memory_bytes`", "memory", then
        )
    if code is TrapCode.UNREACHABLE and then.used > then.bound // 2:
        # A refused growth does not say so: the module sees a -1, and gives up.
        return _error(
            f"gave up with {_mib(then.used)} of its {_mib(then.bound)} of memory in use{then.last_line}; "
            "raise `limits.memory_bytes`, or let it keep less",
            "memory",
            then,
        )
    if code is None:
        return _error(
            f"cannot be started: {' '.join(str(error).split())}; build it anew", "invalid_module", then
        )
    trap = code.name.lower()
    return _error(f"trapped ({trap}){then.last_line}; see its `stderr`, and mend it", trap, then)


def no_entry(what: str) -> ToolError:
    return ToolError(
        f"the wasm module {what}; export `_start`, or `run(i32, i32) -> i64` beside `alloc` and `memory`, or name another "
        "by `plugin.entry`",
        kind="client_error",
        code="no_entry",
    )


def too_large(bound: int) -> ToolError:
    return ToolError(
        f"the wasm module's result is larger than {bound:,} bytes; raise `limits.output_bytes`, or let it yield less",
        kind="client_error",
        code="too_large",
    )


def invalid_result(why: str) -> ToolError:
    return ToolError(
        f"the wasm module's result {why}; let it write one JSON value, and print to stderr",
        kind="validation",
        code="invalid_result",
    )


def _error(what: str, code: str, then: Circumstances) -> ToolError:
    return ToolError(f"the wasm module {what}", kind="client_error", code=code, value={"stderr": then.errors})


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.4g} MiB"
