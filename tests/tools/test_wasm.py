"""The wasm tool, with modules that are assembled here: what they may, what they may not, and that a bad one holds nobody up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wasmtime import wat2wasm

from noetl_stream.cache.frames import MappedFrame
from noetl_stream.cache.tables import write_table
from noetl_stream.core.values import Ref
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Done
from noetl_stream.tools.wasm.modules import Modules, machine_code, new_engine
from noetl_stream.tools.wasm.tool import Wasm
from tests.tools.conftest import Run, call, runner, until

WASI = "wasi_snapshot_preview1"
FD = "(param i32 i32 i32 i32) (result i32)"
STDIO = f'(import "{WASI}" "fd_read" (func $read {FD})) (import "{WASI}" "fd_write" (func $write {FD}))'
# The places of a buffer and its size stand at 0, what was read or written at 8.
ECHO = f"""
(module {STDIO} (@custom "version" "1.2.0")
  (memory (export "memory") 2)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 65536))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
OVER_MEMORY = """
(module (memory (export "memory") 1) (global $free (mut i32) (i32.const 1024))
  (func (export "alloc") (param i32) (result i32)
    (global.get $free) (global.set $free (i32.add (global.get $free) (local.get 0))))
  (func (export "run") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))
"""
GROWING = '(func (export "run") (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)'


def command(body: str, imports: str = "", data: str = "") -> str:
    """A module whose `_start` is so."""
    return f'(module {imports} (memory (export "memory") 1) {data} (func (export "_start") {body}))'


def printing(text: str, to: int = 1, then: str = "") -> str:
    """A command that writes this text, to its output or its errors, and goes on."""
    put = f"(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {len(text)}))"
    write = f"(drop (call $write (i32.const {to}) (i32.const 0) (i32.const 1) (i32.const 8)))"
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return command(put + write + then, STDIO, f'(data (i32.const 64) "{quoted}")')


LOOP = command("(loop $on (br $on))")
COUNTING = command(
    "(local $n i64) (loop $on (local.set $n (i64.add (local.get $n) (i64.const 1)))"
    " (br_if $on (i64.lt_u (local.get $n) (i64.const 300000000))))"
)
_OPEN = "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"
# The first granted folder is descriptor 3; 1 is O_CREAT, 64 the right to write.
MAKES_A_FILE = command(
    """(if (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)) (then unreachable))""",
    f'(import "{WASI}" "path_open" (func $open {_OPEN}))',
    '(data (i32.const 64) "made")',
)


@pytest.fixture
async def tool(tmp_path: Path) -> AsyncIterator[Wasm]:
    tool = Wasm(tmp_path, threads=1)
    yield tool
    await tool.close()


@pytest.fixture
def run(tool: Wasm) -> Run:
    return runner(tool)


async def failure(run: Run, config: dict[str, Any], **fields: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await run(config, **fields)
    return raised.value


class TestModules:
    async def test_a_command_reads_its_input_and_writes_its_result(self, run: Run) -> None:
        given = {"name": "Ada", "items": [1, 2.5, None, {"ö": True}]}

        assert await run({"plugin": {"module": ECHO}}, input=given) == given

    async def test_a_function_is_given_its_input_in_its_memory(self, run: Run) -> None:
        assert await run({"plugin": {"module": OVER_MEMORY}}, input={"n": 7}) == {"n": 7}

    async def test_tables_arrive_as_rows(self, run: Run, tmp_path: Path) -> None:
        table = pa.table({"day": [date(2024, 1, 2)], "amount": [Decimal("0.10")]})
        stored = write_table(tmp_path / "t.arrow", table)
        ref = Ref(uri="t", bytes=stored.bytes, sha256=stored.sha256, format="arrow", rows=1)

        result = await run({"plugin": {"module": ECHO}}, input={"t": MappedFrame(ref, tmp_path / "t.arrow")})

        assert result == {"t": [{"day": "2024-01-02", "amount": 0.1}]}

    async def test_a_module_is_a_file_of_the_folder_or_what_an_object_task_got(
        self, run: Run, tmp_path: Path
    ) -> None:
        content = bytes(wat2wasm(ECHO))
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "echo.wasm").write_bytes(content)
        encoded = base64.b64encode(content).decode()

        plugins: tuple[Any, ...] = (
            "plugins/echo.wasm",
            {"path": f"file://{tmp_path}/plugins/echo.wasm"},
            {"module": encoded},
            {"module": {"key": "echo.wasm", "data": encoded}},
        )

        assert [await run({"plugin": plugin}, input={"a": 1}) for plugin in plugins] == [{"a": 1}] * 4

    async def test_the_version_is_the_modules_own_or_its_digest(self, run: Run) -> None:
        digest = hashlib.sha256(bytes(wat2wasm(ECHO))).hexdigest()

        for version in ("1.2.0", f"sha256:{digest}"):
            assert await run({"plugin": {"module": ECHO, "version": version}}) == {}
        other = await failure(run, {"plugin": {"module": ECHO, "version": "1.3.0"}})
        changed = await failure(run, {"plugin": {"module": OVER_MEMORY, "version": f"sha256:{digest}"}})
        silent = await failure(run, {"plugin": {"module": OVER_MEMORY, "version": 1.2}})

        assert other.message == (
            "the wasm module has the version '1.2.0', the task asks for '1.3.0'; "
            "put the right one there, or correct `plugin.version`"
        )
        assert {other.code, changed.code, silent.code} == {"version"}
        assert "has no section `version`, the task asks for '1.2'" in silent.message

    async def test_a_reactor_is_initialised_before_its_entry_is_called(self, run: Run) -> None:
        """Its entry answers with one byte at the place that `_initialize` chose."""
        module = """
        (module (memory (export "memory") 1) (data (i32.const 9) "7") (global $place (mut i64) (i64.const 0))
          (func (export "alloc") (param i32) (result i32) (i32.const 64))
          (func (export "_initialize") (global.set $place (i64.const 9)))
          (func (export "answer") (param i32 i32) (result i64)
            (i64.or (i64.shl (global.get $place) (i64.const 32)) (i64.const 1))))
        """

        assert await run({"plugin": {"module": module, "entry": "answer"}}) == 7

    async def test_nothing_written_is_null_and_an_exit_of_zero_is_no_failure(self, run: Run) -> None:
        exits = f'(import "{WASI}" "proc_exit" (func $exit (param i32)))'

        assert await run({"plugin": {"module": command("(nop)")}}) is None
        assert await run({"plugin": {"module": command("(call $exit (i32.const 0))", exits)}}) is None

    async def test_a_module_is_compiled_once_and_the_last_ones_are_kept(self) -> None:
        compiled: list[bytes] = []

        def counted(content: bytes) -> bytes:
            compiled.append(content)
            return machine_code(content)

        modules, engine = Modules(2, counted), new_engine()
        first, second, third = (bytes(wat2wasm(command("(nop)" * n))) for n in range(3))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda content: modules.load(content, engine), [first] * 8))
        for content in (second, first, third, first, second):
            modules.load(content, engine)

        assert compiled == [first, second, third, second]


class TestGrants:
    @pytest.mark.parametrize(
        ("name", "kind", "capability"),
        [
            ("clock_time_get", "(param i32 i64 i32) (result i32)", "clock: true"),
            ("random_get", "(param i32 i32) (result i32)", "random: true"),
            (
                "path_open",
                "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
                "files: {/name: folder}",
            ),
        ],
    )
    async def test_what_was_not_granted_is_named(
        self, run: Run, name: str, kind: str, capability: str
    ) -> None:
        module = command("(nop)", f'(import "{WASI}" "{name}" (func {kind}))')

        error = await failure(run, {"plugin": {"module": module}})

        assert (error.kind, error.code) == ("client_error", "not_granted")
        assert error.message == (
            f"the wasm module asks for {WASI}.{name}, not granted; grant `capabilities: {{{capability}}}`"
        )

    @pytest.mark.parametrize(
        ("module", "name", "kind"),
        [
            (WASI, "sock_recv", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
            (WASI, "poll_oneoff", FD),
            ("env", "system", "(param i32) (result i32)"),
        ],
    )
    async def test_nobody_grants_sockets_sleep_or_the_host(
        self, run: Run, module: str, name: str, kind: str
    ) -> None:
        every = {"clock": True, "random": True, "files": {"/": "."}}
        asks = command("(nop)", f'(import "{module}" "{name}" (func {kind}))')

        error = await failure(run, {"plugin": {"module": asks}, "capabilities": every})

        assert error.code == "not_granted"
        assert error.message.endswith(f"no task grants {module}.{name}, build the module without")

    async def test_clock_and_randomness_are_there_when_granted(self, run: Run) -> None:
        imports = f"""
          (import "{WASI}" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
          (import "{WASI}" "random_get" (func $random (param i32 i32) (result i32)))
        """
        # Fails unless both give something other than noughts.
        body = """
          (if (call $clock (i32.const 0) (i64.const 1) (i32.const 0)) (then unreachable))
          (if (call $random (i32.const 8) (i32.const 16)) (then unreachable))
          (if (i64.eqz (i64.load (i32.const 0))) (then unreachable))
          (if (i64.eqz (i64.or (i64.load (i32.const 8)) (i64.load (i32.const 16)))) (then unreachable))
        """

        config = {"plugin": {"module": command(body, imports)}, "capabilities": ["clock", "random"]}

        assert await run(config) is None

    async def test_its_environment_is_what_is_granted_and_nothing_of_ours(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OURS", "hidden")
        imports = f"""{STDIO}
          (import "{WASI}" "environ_get" (func $get (param i32 i32) (result i32)))
          (import "{WASI}" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        """
        # Writes a quote, the variables (each ends in a nought) without the last nought, and a quote.
        body = """
          (drop (call $sizes (i32.const 16) (i32.const 20)))
          (drop (call $get (i32.const 1024) (i32.const 2048)))
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.load (i32.const 20)) (then
            (i32.store (i32.const 0) (i32.const 2048))
            (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 20)) (i32.const 1)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        """
        module = command(body, imports, """(data (i32.const 64) "\\22")""")

        bare = await run({"plugin": {"module": module}})
        given = await run({"plugin": {"module": module}, "capabilities": {"env": {"LEVEL": 3}}})

        assert (bare, given) == ("", "LEVEL=3")

    async def test_a_folder_is_read_where_granted_and_written_where_that_is_said(
        self, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "in").mkdir()
        config = {"plugin": {"module": MAKES_A_FILE}, "capabilities": {"files": {"/in": "in"}}}

        await run({**config, "capabilities": {"files": {"/in": {"path": "in", "write": True}}}})
        made = [each.name for each in (tmp_path / "in").iterdir()]
        (tmp_path / "in" / "made").unlink()
        refused = await failure(run, config)

        assert made == ["made"]
        assert (refused.code, list((tmp_path / "in").iterdir())) == ("unreachable", [])

    @pytest.mark.parametrize("path", ["../out", "/etc", "escape"])
    async def test_no_folder_or_module_outside_of_the_root_is_reached(
        self, run: Run, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "escape").symlink_to("/etc")

        folder = await failure(
            run, {"plugin": {"module": MAKES_A_FILE}, "capabilities": {"files": {"/in": path}}}
        )
        module = await failure(run, {"plugin": f"{path}/hostname"})

        assert (folder.code, module.code) == ("refused_path", "refused_path")

    async def test_no_file_is_reached_where_no_folder_is_configured(self) -> None:
        tool = Wasm(None)

        error = await failure(runner(tool), {"plugin": "echo.wasm"})
        await tool.close()

        assert (error.code, "NOETL_STREAM_FILES" in error.message) == ("refused_path", True)


class TestBounds:
    async def test_fuel_runs_out(self, run: Run) -> None:
        error = await failure(run, {"plugin": {"module": LOOP}, "limits": {"fuel": 100_000}})

        assert (error.kind, error.code, error.retryable) == ("client_error", "fuel_exhausted", False)
        assert error.message == (
            "the wasm module used up its 100,000 units of fuel; raise `limits.fuel`, or let it do less"
        )
        assert await run({"plugin": {"module": ECHO}}) == {}

    async def test_a_loop_ends_with_the_tasks_time_and_its_thread_is_free(self, run: Run) -> None:
        """There is one thread: the next task would wait for ever."""
        error = await failure(run, {"plugin": {"module": LOOP}, "limits": {"fuel": 1 << 60}}, timeout=0.1)

        assert (error.kind, error.retryable) == ("timeout", True)
        assert await run({"plugin": {"module": ECHO}}) == {}

    async def test_a_cancelled_loop_ends_and_no_other_with_it(self, tmp_path: Path) -> None:
        tool = Wasm(tmp_path, threads=2)
        looping = MAKES_A_FILE.replace("(then unreachable)", "(then unreachable)) (loop $on (br $on)")
        granted = {"files": {"/": {"path": ".", "write": True}}}
        bounds = {"limits": {"fuel": 1 << 60}}
        endless = call(tool, {"plugin": {"module": looping}, "capabilities": granted, **bounds})
        running = asyncio.ensure_future(tool.run(endless))
        counting = asyncio.ensure_future(tool.run(call(tool, {"plugin": {"module": COUNTING}, **bounds})))
        await until((tmp_path / "made").exists)

        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        outcome = await counting
        await tool.close()

        assert outcome == Done(value=None)

    async def test_memory_is_bounded_at_the_start_and_as_it_grows(self, run: Run) -> None:
        large = '(module (memory (export "memory") 100) (func (export "_start")))'
        growing = f'(module (memory (export "memory") 1) {GROWING})'

        first, later = [
            await failure(run, {"plugin": {"module": module}, "limits": {"memory": 1 << 20}})
            for module in (large, growing)
        ]

        assert (first.code, later.code) == ("memory", "memory")
        assert first.message == (
            "the wasm module needs more memory than its 1 MiB; raise `limits.memory_bytes`"
        )
        assert "gave up with 1 MiB of its 1 MiB of memory in use" in later.message

    async def test_the_installations_bound_on_memory_is_the_lower_one(self) -> None:
        tool = Wasm(None, memory=1 << 20)

        error = await failure(
            runner(tool), {"plugin": {"module": f'(module (memory (export "memory") 1) {GROWING})'}}
        )
        await tool.close()

        assert error.code == "memory"

    async def test_a_result_without_end_is_cut_off(self, run: Run) -> None:
        module = printing(
            "x" * 1000,
            then="(loop $on (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $on))",
        )

        error = await failure(run, {"plugin": {"module": module}, "limits": {"output_bytes": 5000}})

        assert (error.code, "larger than 5,000 bytes" in error.message) == ("too_large", True)

    async def test_recursion_without_end_is_a_trap(self, run: Run) -> None:
        error = await failure(run, {"plugin": {"module": '(module (func $f (export "run") (call $f)))'}})

        assert error.code == "stack_overflow"


class TestFailures:
    async def test_a_trap_is_told_by_its_name_with_what_was_printed(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        module = printing("no such order\n", to=2, then="(drop (i32.div_s (i32.const 1) (i32.const 0)))")

        with caplog.at_level("INFO"):
            error = await failure(run, {"plugin": {"module": module}})

        assert (error.kind, error.code) == ("client_error", "integer_division_by_zero")
        assert error.message == (
            "the wasm module trapped (integer_division_by_zero): no such order; see its `stderr`, and mend it"
        )
        assert error.value == {"stderr": "no such order\n"}
        assert "no such order" in caplog.text

    async def test_an_exit_status_is_a_failure(self, run: Run) -> None:
        exits = command(
            "(call $exit (i32.const 3))", f'(import "{WASI}" "proc_exit" (func $exit (param i32)))'
        )

        error = await failure(run, {"plugin": {"module": exits}})

        assert (error.code, error.message) == (
            "3",
            "the wasm module ended with exit status 3; see its `stderr`",
        )

    async def test_what_is_printed_is_bounded(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        again = (
            "(loop $on (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (br $on))"
        )

        with caplog.at_level("INFO"):
            await failure(
                run, {"plugin": {"module": printing("x" * 1000, 2, again)}, "limits": {"fuel": 1_000_000}}
            )

        assert 60_000 < len(caplog.records[-1].getMessage()) < 70_000

    @pytest.mark.parametrize("text", ["hello", '{"a": 1} {"b": 2}', '{"a":'])
    async def test_a_result_that_is_no_json_is_told(self, run: Run, text: str) -> None:
        error = await failure(run, {"plugin": {"module": printing(text)}})

        assert (error.kind, error.code) == ("validation", "invalid_result")
        assert error.message.startswith("the wasm module's result is not JSON (")

    @pytest.mark.parametrize(
        ("answer", "code", "sentence"),
        [
            ("(i64.const -1)", "too_large", "larger than"),
            ("(i64.const 0xffffffff00000004)", "invalid_result", "outside the module's memory"),
        ],
    )
    async def test_an_answer_outside_of_its_memory_is_told(
        self, run: Run, answer: str, code: str, sentence: str
    ) -> None:
        body = f'(func (export "run") (param i32 i32) (result i64) {answer})'
        alloc = '(func (export "alloc") (param i32) (result i32) (i32.const 16))'

        error = await failure(
            run, {"plugin": {"module": f'(module (memory (export "memory") 1) {alloc} {body})'}}
        )

        assert (error.code, sentence in error.message) == (code, True)

    @pytest.mark.parametrize("place", ["65535", "-1"])
    async def test_an_alloc_without_room_is_told(self, run: Run, place: str) -> None:
        alloc = f'(func (export "alloc") (param i32) (result i32) (i32.const {place}))'
        entry = '(func (export "run") (param i32 i32) (result i64) (i64.const 0))'

        error = await failure(
            run, {"plugin": {"module": f'(module (memory (export "memory") 1) {alloc} {entry})'}}
        )

        assert "`alloc` gave no room for 2 bytes" in error.message

    @pytest.mark.parametrize(
        ("module", "entry", "sentence"),
        [
            (command("(nop)"), "other", "exports no function `other`"),
            ("(module)", None, "exports no function `run`"),
            (command("(nop)"), "memory", "exports no function `memory`"),
            ('(module (func (export "run") (param f64)))', None, "exports `run(f64) -> ()`"),
            (
                '(module (func (export "run") (param i32 i32) (result i64) unreachable))',
                None,
                "exports no `memory`",
            ),
        ],
    )
    async def test_a_module_that_cannot_be_called_is_told(
        self, run: Run, module: str, entry: str | None, sentence: str
    ) -> None:
        error = await failure(run, {"plugin": {"module": module, "entry": entry}})

        assert (error.kind, error.code) == ("client_error", "no_entry")
        assert sentence in error.message

    @pytest.mark.parametrize(
        ("module", "sentence"),
        [
            ("(module (func", "is no valid WAT: "),
            ("not base64!", "is neither WAT nor base64 text"),
            ({"rows": []}, "is neither WAT nor base64 text, nor a result with such `data`"),
            (base64.b64encode(b"hello").decode(), "is no WebAssembly"),
            (base64.b64encode(b"\0asm\x0d\0\1\0").decode(), "is a component"),
            (base64.b64encode(b"\0asm\1\0\0\0\xff").decode(), "is not valid: "),
            ('(module (func (export "run") (result i32)))', "is not valid: "),
        ],
    )
    async def test_what_is_no_module_is_told(self, run: Run, module: Any, sentence: str) -> None:
        errors = [await failure(run, {"plugin": {"module": module}}) for _ in range(2)]

        assert {(each.kind, each.code) for each in errors} == {("validation", "invalid_module")}
        assert sentence in errors[1].message

    async def test_a_missing_or_oversized_file_is_told(self, run: Run, tmp_path: Path) -> None:
        with (tmp_path / "huge.wasm").open("wb") as file:
            file.truncate((64 << 20) + 1)

        missing = await failure(run, {"plugin": "none.wasm"})
        huge = await failure(run, {"plugin": "huge.wasm"})
        folder = await failure(run, {"plugin": {"module": ECHO}, "capabilities": {"files": {"/in": "none"}}})

        assert (missing.code, huge.code, folder.code) == ("not_found", "too_large", "not_found")
