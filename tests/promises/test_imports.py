"""Importing does nothing: no thread, no loop, no look at the environment, and the package itself costs next to nothing."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import noetl_stream

READERS = ("agents/app.py",)
"""Looks at the environment when imported: it tells Faust where to put its files, which Faust reads when imported itself."""

PROBE = """
import asyncio, importlib, json, os, sys, threading

ours, root, readers = {names!r}, {root!r}, {readers!r}
looks, loops = [], []


def watch(name):
    plain = getattr(os.environ.__class__, name)

    def look(self, *args, **more):
        caller = sys._getframe(1)
        while caller is not None and caller.f_code.co_filename in (os.__file__, "<frozen os>"):
            caller = caller.f_back
        file = "" if caller is None else caller.f_code.co_filename
        if file.startswith(root) and not file.endswith(readers):
            looks.append(f"{{file}}:{{caller.f_lineno}}")
        return plain(self, *args, **more)

    setattr(os.environ.__class__, name, look)


for name in ("__getitem__", "__iter__"):
    watch(name)
plain_loop = asyncio.new_event_loop
asyncio.new_event_loop = lambda: loops.append("loop") or plain_loop()

found = {{}}
for name in ours:
    before = {{t.name for t in threading.enumerate()}}
    importlib.import_module(name)
    started = sorted(t.name for t in threading.enumerate() if t.name not in before)
    if started or looks or loops:
        found[name] = [*started, *looks, *loops]
        looks.clear(), loops.clear()
print(json.dumps(found))
"""


def modules() -> list[str]:
    """All of ours but those that run when imported: `__main__`."""
    walked = pkgutil.walk_packages(noetl_stream.__path__, "noetl_stream.")
    return [each.name for each in walked if not each.name.endswith("__main__")]


@pytest.mark.slow
def test_importing_any_module_does_nothing() -> None:
    root = str(Path(noetl_stream.__file__).parent)

    ran = subprocess.run(
        [sys.executable, "-c", PROBE.format(names=modules(), root=root, readers=READERS)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(ran.stdout.splitlines()[-1]) == {}


def test_importing_the_package_takes_less_than_a_tenth_of_a_second() -> None:
    timed = "import time; t = time.perf_counter(); import noetl_stream; print(time.perf_counter() - t)"

    fastest = min(
        float(
            subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout
        )
        for _ in range(3)
    )

    assert fastest < 0.1


def test_importing_the_package_brings_nothing_heavy() -> None:
    listed = "import noetl_stream, sys; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout

    assert not {"faust", "aiokafka", "pyarrow", "polars", "duckdb", "pydantic", "jinja2"} & set(
        loaded.split()
    )
