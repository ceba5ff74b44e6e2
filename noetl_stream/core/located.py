"""Which block of an execution an address means, and why it may mean none that can be stopped or run again."""

from __future__ import annotations

from noetl_stream.core.address import Address
from noetl_stream.core.bundles import waits_its_turn
from noetl_stream.core.events import BlockId, Callback
from noetl_stream.core.execution import Execution
from noetl_stream.core.iterations import attempt_of, can_reopen, concluding, standing
from noetl_stream.core.run import Run
from noetl_stream.core.tokens import Token, issue
from noetl_stream.core.values import Value
from noetl_stream.errors import InvalidRequest


def entered(execution: Execution, address: Address) -> int:
    """The epoch that is meant. Raises InvalidRequest for one that has not begun."""
    newest = execution.epochs.get(address.step, -1)
    if newest < 0:
        raise InvalidRequest(f"step '{address.step}' has not been entered yet; wait until it is")
    if address.epoch is None:
        return newest
    if address.epoch > newest:
        times = "once, as #0" if not newest else f"{newest + 1} times, as #0 to #{newest}"
        raise InvalidRequest(f"step '{address.step}' was entered {times}; #{address.epoch} is none of them")
    return address.epoch


def iteration(run: Run, address: Address) -> int:
    """The iteration of a run that is meant. Raises InvalidRequest."""
    name, index = address.step, address.iteration
    if not run.loop and index not in (None, 0):
        raise InvalidRequest(f"step '{name}' has no loop, so no [{index}]; name the step alone")
    if not run.loop:
        return 0
    if index is None:
        raise InvalidRequest(f"step '{name}' is a loop; say which of its iterations, as in '{name}[0]'")
    if index >= run.count:
        raise InvalidRequest(f"step '{name}' has {_extent(run)}; {index} is none of them")
    return index


def _extent(run: Run) -> str:
    so_far = "" if run.total is not None else " so far"
    match run.count:
        case 0:
            return f"no iterations{so_far}"
        case 1:
            return f"one iteration{so_far}, 0"
        case count:
            return f"{count} iterations{so_far}, 0 to {count - 1}"


def running(execution: Execution, address: Address) -> BlockId:
    """The block of a step that runs. Raises InvalidRequest if the execution, or the step, is over."""
    epoch, run = entered(execution, address), execution.runs.get(address.step)
    if execution.over or execution.cancelled is not None:
        raise InvalidRequest(f"execution {execution.id} has ended; {_fork(execution, address)}")
    if run is None or run.epoch != epoch:
        raise InvalidRequest(f"step '{address.step}' is over; {_fork(execution, address)}")
    return BlockId(address.step, epoch, iteration(run, address))


def _fork(execution: Execution, address: Address) -> str:
    return f"fork it: noetl-stream fork {execution.id} --from '{address}'"


def stoppable(execution: Execution, address: Address) -> tuple[BlockId, int]:
    """A block to stop, and its attempt. Raises InvalidRequest."""
    key = running(execution, address)
    run = execution.runs[key.step]
    stands = standing(execution, run, key)
    if stands in ("failed", "succeeded"):
        raise InvalidRequest(f"'{address}' has {stands} already; nothing is left to cancel")
    if stands == "unknown":
        raise InvalidRequest(f"'{address}' has not begun yet; cancel it once it runs")
    return key, 0 if stands == "ahead" else attempt_of(execution, run, key)


def asking(execution: Execution, address: Address) -> tuple[Token, Value]:
    """The token of a block that waits for an answer, and what it asks. Raises InvalidRequest for one that does not."""
    found = asked(execution, running(execution, address))
    if found is None:
        raise InvalidRequest(f"'{address}' waits for no answer now; see `noetl-stream waiting`")
    token, wait = found
    return token, wait.ask


def asked(execution: Execution, key: BlockId) -> tuple[Token, Callback] | None:
    """The token of a block that waits for an answer, and what it waits for; None for one that does not."""
    block = execution.blocks.get(key)
    if block is None or block.status != "asking" or not isinstance(block.wait, Callback):
        return None
    return issue(execution.request.seed, execution.id, key, block.attempt, block.segment - 1), block.wait


def repeatable(execution: Execution, address: Address, *, force: bool) -> tuple[BlockId, int]:
    """A block to run again, and as which attempt. Raises InvalidRequest."""
    key = running(execution, address)
    run = execution.runs[key.step]
    match standing(execution, run, key):
        case "unknown" | "ahead":
            raise InvalidRequest(f"'{address}' has not begun yet; it will run in its turn")
        case "in flight" if waits_its_turn(execution, run, key):
            raise InvalidRequest(f"'{address}' has not begun yet; it will run in its turn")
        case "queued":
            raise InvalidRequest(f"'{address}' is to run again already; wait until it has")
        case "succeeded" if not force:
            raise InvalidRequest(f"'{address}' has succeeded; run it again all the same with --force")
        case "failed" | "succeeded" if concluding(execution, run, key.step):
            raise InvalidRequest(f"step '{key.step}' is about to end; {_fork(execution, address)}")
        case "failed" | "succeeded" if not can_reopen(run, key.iteration):
            raise InvalidRequest(
                f"what '{address}' was about is not kept: its loop finds its iterations as it goes; "
                f"fork the step: noetl-stream fork {execution.id} --from '{key.step}'"
            )
        case _:
            return key, attempt_of(execution, run, key) + 1
