"""What `callback` and `approve` share: who is asked is told once, with the token, and then the block waits without a slot."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from pydantic import Field

from noetl_stream.core.events import Callback
from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ids import identity
from noetl_stream.ports.tools import Call, Park, Tool
from noetl_stream.tools.config import Config
from noetl_stream.tools.http.tool import HttpConfig

NOTIFY_SECONDS = 60.0
"""How long telling somebody may hold a slot, whatever the patience for their answer."""


class AskingConfig(Config):
    notify: HttpConfig | None = Field(
        None, description="a request, as of `http`, that takes `{{ callback_token }}` to whoever is to answer"
    )


async def ask(call: Call, teller: Tool, asked: dict[str, Value]) -> Park:
    """Tell whoever is to answer, and wait: for as long as the task's `timeout` says, or else for ever.

    Another try has another token, so it must not pass for a repetition of the one before. Raises ToolError if nobody
    could be told.
    """
    config: AskingConfig = call.config
    if config.notify is not None:
        await teller.run(
            replace(
                call,
                config=config.notify,
                effect_key=identity("notify", call.callback).hex(),
                timeout=min(call.timeout or NOTIFY_SECONDS, NOTIFY_SECONDS),
            )
        )
    until = None if call.timeout is None else time.time() + call.timeout
    return Park(wait=Callback(until=until, ask=asked))


def heard(call: Call) -> dict[str, Any]:
    """The answer: `{answer, actor, time}`. Raises ToolError if there was none in time."""
    if call.answer["status"] != "ANSWERED":
        within = "in time" if call.timeout is None else f"within {call.timeout:g} s"
        raise ToolError(f"nobody answered {within}; raise `timeout`, or ask again", kind="timeout")
    return dict(call.answer)
