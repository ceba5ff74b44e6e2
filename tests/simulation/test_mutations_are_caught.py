"""The simulator notices every rule that is broken on purpose, within so many seeds (see `--table` for the first each)."""

from __future__ import annotations

import pytest

from tests.simulation.explore import campaign
from tests.simulation.mutations import MUTATIONS, Mutation

SEEDS = 150


@pytest.mark.slow
def test_unbroken_rules_survive_the_same_seeds() -> None:
    """Without this, any fault at all would count as a mutation that was caught."""
    assert campaign(range(SEEDS)).failed == []


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_found(mutation: Mutation) -> None:
    with mutation.swap():
        report = campaign(range(SEEDS), mutation.cast, stop=1)

    assert report.failed, f"{mutation.name} survives {report.runs} seeds"
