"""Long loops beside their floor: what the same client and broker need for the records alone that an iteration costs.

python -m bench.loops                     10,000 iterations of each kind
python -m bench.loops --n 100000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
from pathlib import Path
from time import process_time

from bench.floor import floor
from bench.playbooks import loops
from bench.service import Service
from bench.shown import show
from noetl_stream.cli.running import everything
from noetl_stream.settings import Settings


async def measure(settings: Settings, n: int) -> dict[str, float]:
    """Iterations a second, milliseconds of processor time an iteration, and megabytes at the peak."""
    found: dict[str, float] = {}
    async with everything(settings) as platform:
        bare = await floor(platform.settings.bootstrap)
        async with Service.connected(platform.settings.bootstrap, platform.topics.requests.name) as service:
            for kind, text in loops(n).items():
                await platform.catalog.register(f"bench/{kind}", text)
                before = process_time()
                took = await service.timed(f"bench/{kind}")
                found[f"{kind}, iterations/s"] = round(n / took)
                found[f"{kind}, processor ms an iteration"] = round((process_time() - before) / n * 1000, 3)
    found["peak of all roles together, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found | floors(bare)


def floors(bare: dict[str, float]) -> dict[str, float]:
    """A parallel iteration is two records, its offer and its outcome; one of `while` waits for its decision, too."""
    return {
        "floor of parallel, iterations/s": round(bare["produce, records/s"] / 2),
        "floor of while, iterations/s": round(1000 / (3 * bare["acknowledged produce, ms"])),
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--n", type=int, default=10_000)
    ask.add_argument("--bootstrap", default="", help="a cluster, HOST:PORT; default: the embedded broker")
    ask.add_argument("--json", action="store_true")
    chosen = ask.parse_args()
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(data=Path(data), bootstrap=chosen.bootstrap)
        found = asyncio.run(measure(settings, chosen.n))
    show(found, as_json=chosen.json)


if __name__ == "__main__":
    main()
