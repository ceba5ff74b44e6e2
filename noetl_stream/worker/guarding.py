"""Log lines without secrets, whoever writes them: what a block knows is taken out of all that is logged on its behalf."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from noetl_stream.worker.masking import Mask

_MASK: ContextVar[Mask | None] = ContextVar("noetl-mask", default=None)
"""That of the block in whose task a line is written; a task's own tasks and threads inherit it."""


def guard(mask: Mask) -> None:
    """From here on hide what this block has resolved."""
    _MASK.set(mask)


def guard_logs() -> None:
    """Have every log record of this process pass here. Again, it changes nothing."""
    if not isinstance(logging.getLogRecordFactory(), _Guarded):
        logging.setLogRecordFactory(_Guarded(logging.getLogRecordFactory()))


class _Guarded:
    """Makes records as before, then takes secrets out of the message and the traceback."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **more)
        mask = _MASK.get()
        if mask is None or not mask.covers:
            return record
        record.msg, record.args = mask.text(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = mask.text(logging.Formatter().formatException(record.exc_info))
        return record
