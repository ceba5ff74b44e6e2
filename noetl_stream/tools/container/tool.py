"""The container tool: a container for the block's run, waited for without a slot, and its output's last lines."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from pydantic import BaseModel

from noetl_stream.core.events import Callback
from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature, Park
from noetl_stream.tools.container.config import ContainerConfig
from noetl_stream.tools.container.ends import checked, raised
from noetl_stream.tools.container.runtime import Output, Runtime
from noetl_stream.tools.running_time import running_time

GRACE: Final = 60.0
"""Seconds past its timeout in which its runtime may stop the container itself, and say so."""


class Container:
    """`kind: container`. Its result is `{status, job, namespace, exit_code, reason, message, result, logs}`."""

    kind: ClassVar[str] = "container"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ContainerConfig

    def __init__(self, runtime: Runtime | None) -> None:
        """`runtime` belongs to whoever made it; None: this installation has none."""
        self._runtime = runtime

    async def run(self, call: Call) -> Done | Park:
        runtime = self._runtime
        if runtime is None:
            raise ToolError(
                "this installation runs no containers; name a Kubernetes in NOETL_STREAM_KUBERNETES, "
                "or an engine of this host in NOETL_STREAM_CONTAINER_ENGINE",
                kind="not_installed",
            )
        namespace = runtime.place_of(call.config)
        if not call.answered:
            return await _start(runtime, call)
        if call.answer["status"] == "ANSWERED":
            return await _ended(runtime, call, namespace, call.answer["answer"])
        await runtime.stop(call)
        within = "in time" if call.timeout is None else f"within {call.timeout:g} s"
        raise ToolError(
            f"the container did not end {within}; it is deleted. Raise `timeout`",
            kind="timeout",
            retryable=True,
        )

    async def close(self) -> None:
        """The runtime's connections belong to whoever made them."""


async def _start(runtime: Runtime, call: Call) -> Park:
    async with running_time("container", call.timeout):
        called = await runtime.start(call)
    until = None if call.timeout is None else time.time() + call.timeout + GRACE
    return Park(wait=Callback(until=until, ask={"kind": "container", "prompt": f"the end of {called}"}))


async def _ended(runtime: Runtime, call: Call, namespace: str | None, answer: Value) -> Done:
    """What came of it. Its output is read here and not by who told of it: here secrets are known, and taken out.

    The runtime looks at nothing but what this very block has started, whatever the answer says: it may come from anybody
    who was given the token.
    """
    told = checked(answer)
    output = Output(told["job"], None)
    if told["status"] != "lost":
        output = await runtime.output(call, told["job"])
    found = {"namespace": namespace, **told, "job": output.name, "logs": output.logs}
    if told["status"] == "succeeded":
        return Done(value=found)
    raise raised(found)
