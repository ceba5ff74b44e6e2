"""The callback tool: waits without a slot until an outside system answers with the token that it was given."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from noetl_stream.ports.tools import Call, Done, Nature, Park, Tool
from noetl_stream.tools.asking import AskingConfig, ask, heard


class CallbackConfig(AskingConfig):
    prompt: str | None = Field(None, description="what is waited for, to be shown to whoever looks")


class CallbackTool:
    """`kind: callback`. Its result is the answer."""

    kind: ClassVar[str] = "callback"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = CallbackConfig

    def __init__(self, teller: Tool) -> None:
        """`teller` sends what `notify` says."""
        self._teller = teller

    async def run(self, call: Call) -> Done | Park:
        if call.answered:
            return Done(value=heard(call)["answer"])
        config: CallbackConfig = call.config
        return await ask(call, self._teller, {"kind": self.kind, "prompt": config.prompt})

    async def close(self) -> None:
        """What `notify` is sent with belongs to whoever made it."""
