"""What the campaigns' command lines share: where they run, and how they end."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from noetl_stream.broker.launch import BrokerHandle, start_broker


@contextmanager
def campaigning() -> Iterator[Path]:
    """A folder for the block. Whoever ends a campaign ends its processes too; clients that lose a broker keep quiet."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="noetl-campaign-") as folder:
        yield Path(folder)


@contextmanager
def own_broker(folder: Path) -> Iterator[BrokerHandle]:
    """A broker of the campaign's own, for the block."""
    broker = start_broker(folder / "broker")
    try:
        yield broker
    finally:
        broker.stop()


def told(sentence: str, counts: Mapping[str, object], violations: Iterable[str], *, as_json: bool) -> int:
    """Print a campaign's counts, and what was violated; the exit code."""
    print(json.dumps(counts) if as_json else sentence)
    shown = list(violations)
    for violation in shown[:20]:
        print(f"  {violation}", file=sys.stderr)
    return 1 if shown else 0
