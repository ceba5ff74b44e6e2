"""What a forked execution begins with: the state of another one, without what only concerned that one.

It stands in the log for ever: a field added to it, or to what it holds, has a default that means what was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from noetl_stream.core.events import BlockId
from noetl_stream.core.run import Finished, Run, Token
from noetl_stream.core.values import Error, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The fields are those of an `Execution`. `blocks` were in flight, and are offered anew."""

    workload: Mapping[str, Value]
    ctx: Mapping[str, Value]
    results: Mapping[str, Value]
    weights: Mapping[str, int]
    runs: Mapping[str, Run]
    finished: Mapping[str, Finished]
    tokens: Mapping[str, tuple[Token, ...]]
    epochs: Mapping[str, int]
    entered: Mapping[str, int]
    blocks: tuple[BlockId, ...]
    seq: int
    failure: Error | None = None
    met: Error | None = None
