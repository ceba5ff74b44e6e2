"""What becomes of a block that something outside its tasks has failed: the platform, its offer, or its report."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

from noetl_stream.core.events import BlockFailed, Report, Retry
from noetl_stream.core.messages import Offer
from noetl_stream.core.values import Error
from noetl_stream.errors import DamagedResult, InfrastructureError, NoetlError, ToolError
from noetl_stream.worker.block import broken
from noetl_stream.worker.trying import TRACE_BYTES

POSTPONED, POSTPONED_FOR = 5, 10.0
"""How often, and for how many seconds, a block is put off because the platform failed it outside its tasks."""


def failed_by(fault: Exception, offer: Offer, run_id: str) -> BlockFailed:
    """The outcome of a block that `fault` has ended, while that is handled."""
    match fault:
        case ToolError():
            return broken(offer, run_id, Error(kind=fault.kind, message=fault.message, code=fault.code))
        case InfrastructureError():
            return _postponed(offer, run_id, fault)
        case NoetlError():
            return broken(offer, run_id, Error(kind="server_error", message=str(fault)))
        case _:
            trace = "".join(traceback.format_exception(fault))[-TRACE_BYTES:]
            message = f"{type(fault).__name__}: {fault}; report this with the trace"
            return broken(offer, run_id, Error(kind="server_error", message=message, trace=trace))


def _postponed(offer: Offer, run_id: str, error: InfrastructureError) -> BlockFailed:
    """The platform failed outside any task: the block is offered again, unless that would lose the answer it waited for."""
    lasting = isinstance(error, DamagedResult)
    recorded = Error(kind="server_error", message=str(error), retryable=not lasting)
    failed = broken(offer, run_id, recorded)
    if lasting or offer.answered or offer.attempt >= POSTPONED:
        return failed
    return replace(failed, retry=Retry(after=POSTPONED_FOR, resume=offer.resume))


def unrecorded(fault: Exception, outcome: Report) -> BlockFailed:
    """An outcome that cannot be written down is its block's failure."""
    message = f"the result cannot be recorded: {fault}"
    return BlockFailed(
        block=outcome.block,
        attempt=outcome.attempt,
        segment=outcome.segment,
        run=outcome.run,
        error=Error(kind="validation", message=message, step=outcome.block.step),
        time=time.time(),
    )
