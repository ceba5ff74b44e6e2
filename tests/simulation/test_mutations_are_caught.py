"""The simulator notices every rule that is broken on purpose, within so many seeds (see `--table` for the first each)."""

from __future__ import annotations

import pytest

from tests.simulation.explore import campaign, explore
from tests.simulation.mutations import MUTATIONS, Mutation

SEEDS = 25


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_found(mutation: Mutation) -> None:
    """The same seed finds nothing while the rule stands: else any fault at all would count as this one caught."""
    with mutation.swap():
        report = campaign(
            range(mutation.first, mutation.first + SEEDS), mutation.cast, stop=1, once=mutation.once
        )

    assert report.failed, f"{mutation.name} survives {report.runs} seeds"
    assert explore(report.failed[0].seed, once=mutation.once).bad == []
