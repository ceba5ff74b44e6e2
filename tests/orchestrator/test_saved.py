"""What a restore makes of the checkpoints that stand there: the furthest of its own shape, and what is superfluous."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noetl_stream.core.snapshot import shape
from noetl_stream.orchestrator.saved import Saved
from noetl_stream.wire.records import Checkpoint, PartitionMarker


def marker(folded_to: int, fence: int) -> PartitionMarker:
    return PartitionMarker(partition=0, folded_to=folded_to, fence=fence, body=b"", shape=shape())


def checkpoint(machine: int, offset: int, fence: int) -> Checkpoint:
    return Checkpoint(machine=machine, offset=offset, fence=fence, body=b"", shape=shape())


def test_the_furthest_marker_and_each_machines_furthest_checkpoint_count() -> None:
    checkpoints = [checkpoint(7, 30, 2), checkpoint(7, 9, 1), checkpoint(8, 9, 1)]

    saved = Saved.of([marker(30, 2), *checkpoints, marker(9, 1)], fence=40)

    assert saved.marker == marker(30, 2)
    assert saved.checkpoints == {7: checkpoint(7, 30, 2), 8: checkpoint(8, 9, 1)}


def test_what_another_release_wrote_is_passed_over() -> None:
    ours, theirs = checkpoint(7, 9, 1), replace(checkpoint(7, 30, 2), shape="another")

    saved = Saved.of([ours, theirs, marker(9, 1), replace(marker(30, 2), shape="another")], fence=40)

    assert (saved.marker, saved.checkpoints) == (marker(9, 1), {7: ours})


def test_keys_of_former_fences_are_superfluous_whatever_their_shape_and_markers_go_first() -> None:
    checkpoints = [checkpoint(7, 9, 1), replace(checkpoint(8, 9, 2), shape="another")]

    assert Saved.of([*checkpoints, marker(9, 2), marker(9, 1)], fence=3).former == (
        (0, 1),
        (0, 2),
        (7, 1),
        (8, 2),
    )


def test_keys_of_this_fence_and_of_newer_ones_are_not() -> None:
    """A newer owner may have written before this one came to read."""
    assert Saved.of([marker(50, 40), checkpoint(7, 70, 60), marker(70, 60)], fence=40).former == ()


@pytest.mark.parametrize(
    ("offset", "usable"), [(31, True), (30, False), (9, False)], ids=["behind", "at", "before"]
)
def test_a_state_that_may_hold_a_record_is_no_beginning_without_it(offset: int, usable: bool) -> None:
    saved = Saved.of([marker(9, 2), checkpoint(7, 30, 2)], fence=40)

    found = saved.before(offset)

    assert (found == saved) is usable
    assert (found.marker is not None, found.former) == (usable, saved.former)
