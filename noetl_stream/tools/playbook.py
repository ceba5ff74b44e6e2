"""The playbook tool: starts an execution of another playbook, and waits for it without a slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import AliasChoices, BaseModel, Field, field_validator

from noetl_stream.core.events import Child
from noetl_stream.core.values import Error, Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature, Park
from noetl_stream.tools.config import Config


class PlaybookConfig(Config):
    path: str = Field(description="the playbook's path in the catalog")
    version: int | None = Field(None, description="its version; the newest by default, or `latest`")
    wait: bool = Field(True, description="false goes on once it is started, with `{execution_id, status}`")
    return_step: str | None = Field(
        None,
        validation_alias=AliasChoices("return_step", "result_step"),
        description="whose result to return; the last step's by default",
    )
    timeout: float | None = Field(None, description="bounds the wait, in seconds")

    @field_validator("version", mode="before")
    @classmethod
    def _newest(cls, version: Any) -> Any:
        return None if version in ("latest", "") else version


class Playbook:
    """`kind: playbook`."""

    kind: ClassVar[str] = "playbook"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = PlaybookConfig

    async def run(self, call: Call) -> Done | Park:
        if call.answered:
            return Done(value=_outcome(_child(call), call.answer))
        return Park(wait=_child(call))

    async def close(self) -> None:
        """Nothing is held open."""


def _child(call: Call) -> Child:
    config: PlaybookConfig = call.config
    return Child(
        path=config.path,
        version=config.version,
        input=_by_reference(dict(call.input)),
        identity=call.effect_key,
        wait=config.wait,
        return_step=config.return_step,
        timeout=call.timeout if config.timeout is None else config.timeout,
    )


def _by_reference(value: Any) -> Value:
    """Frames travel to the child as the references they came from."""
    match value:
        case dict():
            return {key: _by_reference(item) for key, item in value.items()}
        case list():
            return [_by_reference(item) for item in value]
        case _ if hasattr(value, "ref"):
            return value.ref
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise ToolError(
                f"a {type(value).__name__} cannot be handed to a playbook; pass the result of a step",
                kind="validation",
            )


def _outcome(child: Child, answer: Mapping[str, Value]) -> Value:
    match answer["status"]:
        case "COMPLETED":
            return answer["result"]
        case "STARTED":
            return {"execution_id": str(answer["execution_id"]), "status": "STARTED"}
        case "TIMED_OUT":
            raise ToolError(
                f"the playbook '{child.path}' did not end within {child.timeout:g} s and is being cancelled; "
                "raise `timeout`, or start it with `wait: false`",
                kind="timeout",
                retryable=True,
            )
        case status:
            raise ToolError(
                f"the playbook '{child.path}' (execution {answer['execution_id']}) {status.lower()}"
                f"{_reason(answer.get('error'))}; see that execution's events",
                kind="playbook",
                code=status,
                value=answer.get("result"),
            )


def _reason(error: Error | Mapping[str, Value] | None) -> str:
    match error:
        case Error(message=message):
            return f": {message}"
        case {"message": message}:
            return f": {message}"
        case _:
            return ""
