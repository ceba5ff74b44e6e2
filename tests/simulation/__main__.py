"""Campaigns and the table of mutations.

python -m tests.simulation --runs 5000 --first 0     explore, print what failed and the shortest trace
python -m tests.simulation --seed 42                 one run, with its trace
python -m tests.simulation --table                   how many seeds each mutation survives
"""

from __future__ import annotations

import argparse
from time import perf_counter

from tests.simulation.explore import campaign, explore
from tests.simulation.mutations import MUTATIONS, Mutation


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--runs", type=int, default=1_000)
    ask.add_argument("--first", type=int, default=0)
    ask.add_argument("--seed", type=int)
    ask.add_argument("--table", action="store_true")
    asked = ask.parse_args()
    if asked.table:
        return table(range(asked.first, asked.first + asked.runs))
    if asked.seed is not None:
        return one(asked.seed)
    return many(range(asked.first, asked.first + asked.runs))


def one(seed: int) -> int:
    run = explore(seed)
    print(run.world.story())
    print(f"seed {seed}, {run.profile}:", *(run.bad or ["nothing found"]), sep="\n  ")
    return 1 if run.bad else 0


def many(seeds: range) -> int:
    began = perf_counter()
    report = campaign(seeds)
    pace = report.runs / (perf_counter() - began)
    print(f"{len(report.failed)} of {report.runs} runs failed, {pace:.0f} runs/s", dict(report.kinds))
    if report.shortest is not None:
        print("failing seeds:", *(run.seed for run in report.failed))
        one(report.shortest.seed)
    return 1 if report.failed else 0


def table(seeds: range) -> int:
    """Means nothing unless the protocol as it is survives the same seeds."""
    if campaign(seeds, stop=1).failed:
        print("the protocol as it is fails already: no table; run without --table to see by what")
        return 1
    print(f"{'as it is':32} survives {len(seeds)} seeds")
    return max([_row(mutation, seeds) for mutation in MUTATIONS])


def _row(mutation: Mutation, seeds: range) -> int:
    with mutation.swap():
        report = campaign(seeds, mutation.cast, stop=1, once=mutation.once)
    caught = f"{report.runs} seeds" if report.failed else f"survives {report.runs} seeds"
    print(f"{mutation.name:32} {caught:20} {next(iter(report.kinds), '')}", flush=True)
    return 0 if report.failed else 1


if __name__ == "__main__":
    raise SystemExit(main())
