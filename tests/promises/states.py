"""Prints the table of a block's life as the page `docs/states.md`."""

from __future__ import annotations

from pathlib import Path

from noetl_stream.core.block import ARROWS, BlockStatus

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

ORDER: tuple[BlockStatus, ...] = (
    "new",
    "offered",
    "claimed",
    "contested",
    "waiting",
    "parked",
    "calling",
    "started",
    "asking",
    "ready",
    "completed",
    "failed",
)

HEAD = """# A block's life

Written from the transition table in `noetl_stream/core/block.py` by `python -m tests.promises.states`; a test fails where they
differ, and where no history takes an arrow. `BlockOffered`, `BlockLost` and `ChildRequested` are the owner's decisions; the others are facts
that workers, children and whoever is asked report, `BlockCancelRequested` and `BlockRetryRequested` the wishes of
whoever asked. An event without an arrow did not happen: its verdict is `duplicate` or `stale`.

| status | what it waits for |
|---|---|
| `offered` | a worker; after ten minutes without one it is offered again |
| `claimed` | its run, whose lease ends at `renew_by`; past that it is offered again with the same attempt |
| `contested` | the run that claimed its effect first, until a deadline that this run may renew; past that it fails as lost |
| `waiting` | its backoff; it is then offered with the next attempt |
| `parked` | a moment; it is then offered as the next segment |
| `calling` | the owner, to start the child execution it asked for |
| `started` | its child, or the end of its patience |
| `asking` | an answer by whoever holds its token, or a deadline; one that came before the park was kept |
| `ready` | the owner, to be offered as the next segment with the answer it has got |

"""


def mermaid() -> str:
    """The table as a state diagram, in the order of a life."""
    ranked = sorted(ARROWS, key=lambda arrow: (ORDER.index(arrow[0]), ORDER.index(arrow[2]), arrow[1]))
    arrows = [f"    {_state(before)} --> {after}: {event}" for before, event, after in ranked]
    ends = [f"    {end} --> [*]" for end in ("completed", "failed")]
    return "\n".join(["stateDiagram-v2", *arrows, *ends])


def _state(status: str) -> str:
    return "[*]" if status == "new" else status


def document() -> str:
    return f"{HEAD}```mermaid\n{mermaid()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(document())
