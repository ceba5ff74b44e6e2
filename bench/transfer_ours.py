"""`python -m bench.transfer_ours ENDS DSN`: one transfer. Prints its seconds, those of this process's processors, and megabytes."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import sys
import time

from bench.transfer_floor import peak
from noetl_stream.ports.credentials import Secret
from noetl_stream.ports.tools import Call
from noetl_stream.tools import transfer
from noetl_stream.tools.transfer.tool import Transfer


async def moved(source: dict[str, str], target: dict[str, str], dsn: str) -> tuple[float, float]:
    """Seconds, and those of processors."""
    tool = Transfer()
    config = tool.config.model_validate({"source": source, "target": target})
    call = Call(
        config=config,
        input={},
        context={},
        effect_key="bench",
        timeout=None,
        execution=1,
        credentials={"auth": Secret("auth", dsn)},
    )
    for module in pkgutil.iter_modules(transfer.__path__):
        # A worker loads what a transfer needs once, and the floor has loaded what it needs.
        importlib.import_module(f"{transfer.__name__}.{module.name}")
    began, used = time.perf_counter(), time.process_time()
    await tool.run(call)
    seconds = time.perf_counter() - began, time.process_time() - used
    await tool.close()
    return seconds


if __name__ == "__main__":
    source, target = json.loads(sys.argv[1])
    print(json.dumps([*asyncio.run(moved(source, target, sys.argv[2])), peak()]))
