"""The lanes of a pool: of two blocks that wait for a slot, the one in the earlier lane gets it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Priority: TypeAlias = Literal["high", "normal", "low"]

LANES: Final[tuple[Priority, ...]] = get_args(Priority)


def lane_of(priority: str | None) -> Priority:
    """A block's lane. A log may name others, from before there were lanes: such a block is as urgent as any."""
    return next((lane for lane in LANES if lane == priority), "normal")


def in_lane(name: str, lane: Priority) -> str:
    """A pool's topic or group in a lane; the normal one has the plain name."""
    return name if lane == "normal" else f"{name}.{lane}"
