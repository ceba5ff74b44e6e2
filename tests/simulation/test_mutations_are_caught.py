"""The simulator notices every rule that is broken on purpose, within so many seeds (see `--table` for the first each)."""

from __future__ import annotations

import pytest

from tests.simulation.explore import campaign
from tests.simulation.mutations import MUTATIONS, Mutation

SEEDS = 150


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_found(mutation: Mutation) -> None:
    with mutation.swap():
        report = campaign(range(SEEDS), mutation.cast, stop=1)

    assert report.failed, f"{mutation.name} survives {report.runs} seeds"
