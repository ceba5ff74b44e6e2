"""Children of the pool die in every way a process can; the pool goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import pytest

from noetl_stream.errors import ToolError
from noetl_stream.tools.warm.pool import WarmPool, Work
from noetl_stream.tools.warm.process import Limits
from tests.tools.conftest import runs, until

pytestmark = pytest.mark.slow


def python(code: str, **inputs: object) -> Work:
    return Work(operation="python", input=inputs, context={}, more={"code": code, "libs": {}})


@pytest.fixture
async def one() -> AsyncIterator[WarmPool]:
    """A pool with a single slot: what is not given back is missed."""
    pool = WarmPool(size=1)
    yield pool
    await pool.close()


async def test_a_killed_child_is_told_and_replaced(one: WarmPool) -> None:
    """kill -9 in mid-run: an error of the task, and the only slot serves the next call."""
    await one.warm()
    (pid,) = one.pids
    running = asyncio.create_task(one.run(python("while True: pass"), 20))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)

    with pytest.raises(ToolError, match=r"ended before it answered \(signal 9\); look for memory") as died:
        await running

    assert (died.value.kind, died.value.code, died.value.retryable) == ("python", "died", False)
    assert await one.run(python("result = 1"), 5) == 1


async def test_code_that_ends_its_process_is_told(one: WarmPool) -> None:
    with pytest.raises(ToolError, match=r"ended before it answered \(.*9.*\)|\(exit status 3\)"):
        await one.run(python("import os\nos._exit(3)"), 5)
    assert await one.run(python("result = 1"), 5) == 1


async def test_a_child_that_died_idle_is_replaced_unnoticed(one: WarmPool) -> None:
    await one.run(python("result = 1"), 5)
    (pid,) = one.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not one.pids)

    assert await one.run(python("result = 2"), 5) == 2


async def test_memory_beyond_the_limit_is_an_error_of_the_task() -> None:
    pool = WarmPool(limits=Limits(memory_bytes=256 << 20))
    try:
        with pytest.raises(ToolError, match=r"^MemoryError \(line 1 of the code\)"):
            await pool.run(python("x = bytearray(1 << 30)"), 5)
        assert await pool.run(python("result = 1"), 5) == 1
    finally:
        await pool.close()


async def test_processor_time_is_bounded_for_each_call() -> None:
    pool = WarmPool(size=1, limits=Limits(cpu_seconds=1))
    try:
        with pytest.raises(ToolError, match=r"ended before it answered \(signal (24|9)\)"):
            await pool.run(python("while True: pass"), 20)
        assert await pool.run(python("result = 1"), 5) == 1
    finally:
        await pool.close()


async def test_an_answer_beyond_the_limit_is_refused() -> None:
    pool = WarmPool(limits=Limits(answer_bytes=10_000))
    try:
        with pytest.raises(ToolError, match="bytes of JSON, more than 10000; return a frame instead"):
            await pool.run(python("result = 'x' * 20_000"), 5)
    finally:
        await pool.close()


async def test_a_child_is_replaced_after_its_share_of_calls() -> None:
    pool = WarmPool(size=1, limits=Limits(calls=2))
    try:
        pids = [await pool.run(python("import os\nresult = os.getpid()"), 5) for _ in range(4)]
        assert [pids[0] == pids[1], pids[1] == pids[2], pids[2] == pids[3]] == [True, False, True]
    finally:
        await pool.close()


async def test_calls_wait_for_a_free_child(one: WarmPool) -> None:
    code = "import os\nresult = os.getpid()"
    pids = await asyncio.gather(*(one.run(python(code), 20) for _ in range(5)))

    assert len(set(pids)) == 1


async def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    pool = WarmPool(scratch=tmp_path)
    await pool.run(python("import tempfile\ntempfile.mkstemp()"), 5)
    pids = pool.pids

    await pool.close()

    assert os.listdir(tmp_path) == []
    assert not any(map(runs, pids))


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """The parent is killed while its child is in an endless loop."""
    program = (
        "import asyncio\nfrom noetl_stream.tools.warm.pool import WarmPool, Work\n"
        "async def main():\n    pool = WarmPool()\n    await pool.warm()\n    print(*pool.pids, flush=True)\n"
        "    code = {'code': 'while True: pass', 'libs': {}}\n"
        "    await pool.run(Work(operation='python', input={}, context={}, more=code), None)\nasyncio.run(main())"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        child = int(said.readline())
    parent.kill()
    parent.wait()

    until = perf_counter() + 10
    while runs(child):
        assert perf_counter() < until


@pytest.mark.alone
async def test_a_warm_call_takes_no_millisecond(one: WarmPool) -> None:
    """The median of many, so that a busy machine does not decide."""
    work = python("result = x + 1", x=1)
    took = []
    for _ in range(200):
        start = perf_counter()
        await one.run(work, 5)
        took.append(perf_counter() - start)

    assert sorted(took)[100] < 0.001
