"""How people name one iteration: `STEP`, `STEP[17]`, `STEP#2[17]`. Epochs and iterations count from 0, as in the log."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from noetl_stream.errors import InvalidRequest

_EPOCH = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)
_ITERATION = re.compile(r"(.+)\[(\d{1,9})\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A step, its epoch (None: the newest), and an iteration of its loop (None: none is meant)."""

    step: str
    epoch: int | None = None
    iteration: int | None = None

    def __str__(self) -> str:
        epoch = "" if self.epoch is None else f"#{self.epoch}"
        return f"{self.step}{epoch}" + ("" if self.iteration is None else f"[{self.iteration}]")


def parse(text: str, steps: Collection[str]) -> Address:
    """The address that `text` means among these steps, whose names may hold anything; the longest name wins.

    Raises InvalidRequest.
    """
    readings = list(_readings(text))
    for reading in readings:
        if reading.step in steps:
            return reading
    raise InvalidRequest(_unknown(text, readings[-1].step, steps))


def _readings(text: str) -> Iterator[Address]:
    """What a text may mean, the longest step name first."""
    yield Address(step=text)
    numbered = _ITERATION.fullmatch(text)
    stem, iteration = (text, None) if numbered is None else (numbered[1], int(numbered[2]))
    if numbered is not None:
        yield Address(step=stem, iteration=iteration)
    if (entered := _EPOCH.fullmatch(stem)) is not None:
        yield Address(step=entered[1], epoch=int(entered[2]), iteration=iteration)


def _unknown(text: str, step: str, steps: Collection[str]) -> str:
    close = get_close_matches(step, list(steps), n=1, cutoff=0.6)
    if close:
        return f"no step '{step}' has been entered; did you mean '{close[0]}{text.removeprefix(step)}'?"
    known = ", ".join(f"'{name}'" for name in steps) or "none yet"
    return f"no step '{step}' has been entered, but {known}; write STEP, STEP[17] or STEP#2[17]"
