"""Campaigns of kill -9 under load: nothing acknowledged may be lost, nothing accepted twice, every execution must end.

python -m tests.campaigns.kills --victim broker --kills 200 --seed 1         the broker, in mid-write
python -m tests.campaigns.kills --victim engine --kills 200 --seed 1         orchestrators and workers, in mid-run
python -m tests.campaigns.kills --victim worker --bootstrap HOST:PORT        on a broker of your own

Each victim dies after it has done something since it was started, a random number of records later. Prints progress and
a line of counts (`--json`: as JSON); the exit code is 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.campaigns.brokers import against_broker
from tests.campaigns.by_hand import campaigning, told
from tests.campaigns.engines import against_engine
from tests.campaigns.report import Report

VICTIMS = {
    "broker": (),
    "orchestrator": ("orchestrator",),
    "worker": ("worker",),
    "engine": ("orchestrator", "worker"),
}
"""Whom to kill, by the roles among which chance chooses."""


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--victim", choices=VICTIMS, required=True)
    ask.add_argument("--kills", type=int, default=200)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument(
        "--lanes", type=int, default=4, help="installations side by side, each with victims of its own"
    )
    ask.add_argument(
        "--bootstrap", default="", help="a broker that is already running; default: one of its own"
    )
    ask.add_argument("--json", action="store_true")
    asked = ask.parse_args()
    report = Report(
        victim=asked.victim,
        goal=asked.kills,
        seed=asked.seed,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    with campaigning() as folder:
        asyncio.run(carry_out(report, folder, lanes=asked.lanes, bootstrap=asked.bootstrap))
    return told(report.sentence(), report.as_json(), report.violations, as_json=asked.json)


async def carry_out(report: Report, folder: Path, *, lanes: int = 4, bootstrap: str = "") -> None:
    """The campaign that `report` describes, to its end."""
    if report.victim == "broker":
        await against_broker(folder, report)
    else:
        await against_engine(folder, report, VICTIMS[report.victim], lanes=lanes, bootstrap=bootstrap)


if __name__ == "__main__":
    raise SystemExit(main())
