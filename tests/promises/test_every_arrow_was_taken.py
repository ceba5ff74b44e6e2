"""The table of a block's life is its documentation, and no arrow of it is only paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from noetl_stream.core import facts, iterations, moves
from noetl_stream.core.block import ARROWS, Block, move
from noetl_stream.core.events import BlockFact, BlockOffered, BlockWish, ChildRequested
from tests.histories.lives import LIVES
from tests.promises.states import document

Arrow = tuple[str, str, str]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[Arrow]:
    """The arrows that are taken while every life of the corpus is lived."""
    found: set[Arrow] = set()

    def watched(
        block: Block, event: BlockFact | BlockWish | BlockOffered | ChildRequested, at: float
    ) -> Block | None:
        after = move(block, event, at)
        if after is not None:
            found.add((block.status, type(event).__name__, after.status))
        return after

    for writer in (facts, iterations, moves):
        monkeypatch.setattr(writer, "move", watched)
    for live in LIVES.values():
        live()
    return found


def test_every_arrow_was_taken(taken: set[Arrow]) -> None:
    assert ARROWS - taken == set(), "arrows that no history takes"


def test_nothing_moves_without_an_arrow(taken: set[Arrow]) -> None:
    assert taken <= ARROWS


def test_the_documents_show_the_table_as_it_is() -> None:
    """`python -m tests.promises.states` writes it."""
    page = Path(__file__).parents[2] / "docs" / "states.md"

    assert page.read_text() == document()
