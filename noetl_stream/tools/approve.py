"""The approve tool: waits without a slot until a person says yes or no. A no is an answer, not an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel, Field

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature, Park, Tool
from noetl_stream.tools.asking import AskingConfig, ask, heard


class ApproveConfig(AskingConfig):
    prompt: str = Field(description="what is to be approved")
    approvers: list[str] = Field(
        default_factory=list, description="who may answer; anybody who holds the token by default"
    )


class Approve:
    """`kind: approve`. Its result is `{approved, by, comment, at}`."""

    kind: ClassVar[str] = "approve"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = ApproveConfig

    def __init__(self, teller: Tool) -> None:
        """`teller` sends what `notify` says."""
        self._teller = teller

    async def run(self, call: Call) -> Done | Park:
        config: ApproveConfig = call.config
        if call.answered:
            return Done(value=_verdict(call, config.approvers))
        asked: dict[str, Value] = {"kind": self.kind, "prompt": config.prompt}
        return await ask(call, self._teller, {**asked, "approvers": config.approvers})

    async def close(self) -> None:
        """What `notify` is sent with belongs to whoever made it."""


def _verdict(call: Call, approvers: list[str]) -> Value:
    found = heard(call)
    answer, by = found["answer"], found["actor"]
    if approvers and by not in approvers:
        raise ToolError(
            f"{by or 'somebody unnamed'} answered, and only {', '.join(approvers)} may; ask again",
            kind="auth",
        )
    if not isinstance(answer, dict) or not isinstance(answer.get("approved"), bool):
        raise ToolError(
            "the answer neither approves nor rejects; answer {approved: true} or {approved: false}",
            kind="validation",
            value=answer,
        )
    at = datetime.fromtimestamp(found["time"], UTC).isoformat()
    return {"approved": answer["approved"], "by": by, "comment": answer.get("comment"), "at": at}
