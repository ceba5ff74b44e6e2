"""`make bench`: one step, a chain of 100, a fan-out of 1,000, beside the floor. `--json` for machines."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from bench.floor import floor
from bench.playbooks import TOGETHER, chain, fan
from bench.service import Service
from bench.shown import show
from noetl_stream.cli.running import everything
from noetl_stream.settings import Settings

CHAIN, FAN, SINGLES, ROUNDS = 100, 1_000, 100, 5


async def measure(settings: Settings) -> dict[str, float]:
    async with everything(settings) as platform:
        playbooks = {
            "chain1": chain(1),
            f"chain{CHAIN}": chain(CHAIN),
            f"fan{FAN}": fan(FAN),
            f"bundles{FAN}": fan(FAN, together=True),
        }
        for name, text in playbooks.items():
            await platform.catalog.register(f"bench/{name}", text)
        bootstrap = platform.settings.bootstrap
        found = await floor(bootstrap)
        async with Service.connected(bootstrap, platform.topics.requests.name) as service:
            await service.timed("bench/chain1")
            singles = [await service.timed("bench/chain1") for _ in range(SINGLES)]
            chains = [await service.timed(f"bench/chain{CHAIN}") for _ in range(ROUNDS)]
            fans = [await service.timed(f"bench/fan{FAN}") for _ in range(ROUNDS)]
            bundles = [await service.timed(f"bench/bundles{FAN}") for _ in range(ROUNDS)]
    return found | {
        "one step, ms": round(statistics.median(singles) * 1000, 2),
        f"chain of {CHAIN}, steps/s": round(CHAIN / statistics.median(chains)),
        f"fan-out of {FAN:,}, blocks/s": round(FAN / statistics.median(fans)),
        f"the same, {TOGETHER} to a block, iterations/s": round(FAN / statistics.median(bundles)),
    }


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    ask.add_argument("--bootstrap", default="", help="a cluster, HOST:PORT; default: the embedded broker")
    ask.add_argument("--json", action="store_true")
    chosen = ask.parse_args()
    with tempfile.TemporaryDirectory() as data:
        found = asyncio.run(measure(Settings(data=Path(data), bootstrap=chosen.bootstrap)))
    show(found, as_json=chosen.json)


if __name__ == "__main__":
    main()
