"""A warm process that runs one piece of a user's code after another, and ends when its parent does.

What it is asked and what it answers goes over two descriptors that the code never sees.
"""

from __future__ import annotations

import io
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from noetl_stream.tools.warm import code, lazy
from noetl_stream.tools.warm.framing import PREFIX_BYTES, dumps, prefixed, restore
from noetl_stream.tools.warm.rows import OPENERS
from noetl_stream.tools.warm.spill import Spill
from noetl_stream.tools.warm.values import plain

TRACE_BYTES = 8 << 10
PRINTED_BYTES = 64 << 10
OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {"python": code.run, "polars": lazy.run}


class Printed(io.RawIOBase):
    """Keeps the first bytes of what the code prints, drops the rest."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        view = memoryview(chunk).cast("B")
        self._kept += view[: PRINTED_BYTES - len(self._kept)]
        return len(view)

    def text(self) -> str:
        return self._kept.decode(errors="replace")


def main() -> None:
    """Serve until the parent closes the pipe."""
    limits = orjson.loads(sys.argv[1])
    if limits["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked, answered = _private_pipes()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked, requests), daemon=True).start()
    while True:
        answer = prefixed(_serve(orjson.loads(requests.get()), limits))
        answered.write(answer)
        answered.flush()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from where code, or a library below it, reads and prints."""
    asked, answered = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return asked, answered


def _listen(asked: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    while prefix := asked.read(PREFIX_BYTES):
        requests.put(asked.read(int.from_bytes(prefix, "big")))
    os.killpg(0, signal.SIGKILL)


def _serve(request: dict[str, Any], limits: Mapping[str, Any]) -> bytes:
    printed = Printed()
    sys.stdout = sys.stderr = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
    spill = Spill(Path(request["folder"]))
    answer: dict[str, Any]
    try:
        _bound_processor(limits["cpu_seconds"])
        # The value is encoded by itself first: a failure there is the code's, and is answered like one.
        value = dumps(_run(request), spill, plain)
        answer = {"value": orjson.Fragment(value), "tables": spill.count}
    except BaseException as error:
        answer = {"error": _told(error)}
    answer["printed"] = printed.text()
    return _bounded(orjson.dumps(answer), limits["answer_bytes"])


def _run(request: dict[str, Any]) -> Any:
    opened = [OPENERS[request["frames"]](path) for path in request["tables"]]
    for part in ("input", "context"):
        request[part] = restore(request.get(part, {}), opened)
    return OPERATIONS[request["operation"]](request)


def _bound_processor(seconds: int | None) -> None:
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _bounded(answer: bytes, limit: int) -> bytes:
    if len(answer) <= limit:
        return answer
    error = ValueError(
        f"the result is {len(answer)} bytes of JSON, more than {limit}; return a frame instead"
    )
    return orjson.dumps({"error": _told(error), "printed": ""})


def _told(error: BaseException) -> dict[str, Any]:
    """The error as the code's author sees it: its own lines, none of ours."""
    reason = error.__cause__ if type(error) is orjson.JSONEncodeError and error.__cause__ else error
    own = _own(reason.__traceback__)
    lines = traceback.TracebackException(type(reason), reason, own, compact=True).format()
    line = reason.lineno if isinstance(reason, SyntaxError) and reason.filename == code.FILE else _line(own)
    return {
        "type": type(reason).__name__,
        "message": _text(reason),
        "line": line,
        "trace": _capped("".join(lines)),
    }


def _text(error: BaseException) -> str:
    try:
        return error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception as worse:
        return f"(its text could not be read: {type(worse).__name__})"


def _own(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename != code.FILE:
        trace = trace.tb_next
    return trace


def _line(trace: TracebackType | None) -> int | None:
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == code.FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _capped(text: str) -> str:
    if len(text) <= TRACE_BYTES:
        return text
    head = TRACE_BYTES // 4
    return f"{text[:head]}\n…\n{text[-(TRACE_BYTES - head - 3) :]}"


if __name__ == "__main__":
    main()
