"""Children whose parent's block no longer waits for them are cancelled, wherever they run."""

from __future__ import annotations

from collections.abc import Iterator

from noetl_stream.core.block import Block
from noetl_stream.core.events import BlockId, Child, Parent
from noetl_stream.core.messages import CancelExecution


def left_alone(execution: int, key: BlockId, block: Block, reason: str) -> Iterator[CancelExecution]:
    """The child of a block that waits for it now, and is about to end."""
    if block.status == "started":
        yield from cancelled_child(execution, key, block, reason)


def cancelled_child(execution: int, key: BlockId, block: Block, reason: str) -> Iterator[CancelExecution]:
    """Nothing, if the block started none or would not have waited."""
    if isinstance(block.wait, Child) and block.wait.wait:
        parent = Parent(execution=execution, block=key, attempt=block.attempt, segment=block.segment - 1)
        yield CancelExecution(parent=parent, identity=block.wait.identity, reason=reason)
