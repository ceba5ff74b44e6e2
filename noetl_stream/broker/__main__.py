"""`python -m noetl_stream.broker --data DIR`: a broker as a process of its own.

Prints one JSON line when it is ready, `{"bootstrap": "127.0.0.1:PORT"}`, or `{"error": "…"}` and exits with 3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.launch import allow_many_files
from noetl_stream.broker.settings import CLEANING_INTERVAL, BrokerSettings
from noetl_stream.errors import InfrastructureError

_INFRASTRUCTURE_FAILED = 3


def main() -> int:
    """Run until SIGTERM, SIGINT or (if asked) the end of standard input; the exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    allow_many_files()
    try:
        asyncio.run(_run(arguments))
    except InfrastructureError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return _INFRASTRUCTURE_FAILED
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m noetl_stream.broker", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the logs; created if missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0 takes a free one (default)")
    parser.add_argument(
        "--fsync", choices=("commit", "interval", "none"), default="commit", help="see docs/broker.md"
    )
    parser.add_argument(
        "--cleaning-interval",
        type=float,
        default=CLEANING_INTERVAL,
        help="seconds that retention and compaction rest between sweeps (default: %(default)g)",
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when the parent process is gone"
    )
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    stop = _stop_signal(watch_stdin=arguments.until_stdin_closes)
    settings = BrokerSettings(
        host=arguments.host,
        port=arguments.port,
        fsync=arguments.fsync,
        cleaning_interval=arguments.cleaning_interval,
    )
    async with EmbeddedBroker(arguments.data, settings=settings) as broker:
        print(json.dumps({"bootstrap": broker.bootstrap}), flush=True)
        await asyncio.wait((stop, broker.failed), return_when=asyncio.FIRST_COMPLETED)
    if broker.failed.done():
        raise broker.failed.result()


def _stop_signal(*, watch_stdin: bool) -> asyncio.Future[None]:
    """A future that ends when this process is to stop."""
    loop = asyncio.get_running_loop()
    stop = loop.create_future()

    def request_stop() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, request_stop)
    if watch_stdin:
        loop.add_reader(sys.stdin.fileno(), request_stop)
    return stop


if __name__ == "__main__":
    sys.exit(main())
