"""The mcp tool: one call of an MCP server's tool, or the list of those it has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import AliasChoices, BaseModel, Field, model_validator

from noetl_stream.core.values import Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.running_time import running_time

if TYPE_CHECKING:
    from mcp import Client

EFFECT_KEY: Final = "noetl.io/effect-key"
"""Where in a call's `_meta` its effect's key stands: the same for every try, for servers that look at it."""

_SHOWN: Final = 500
"""Characters of what a tool says of its failure, in the error's sentence; `error.value` has all of it."""


class McpConfig(Config):
    endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("endpoint", "server", "url"),
        description="the server's address; by default the credential's `url`",
    )
    transport: Literal["http", "sse"] = Field(
        "http", description="`http` is MCP's streamable HTTP; `sse` is what older servers speak"
    )
    method: Literal["tools/call", "tools/list"] = Field(
        "tools/call", description="call one tool, or list all of them"
    )
    tool: str | None = Field(None, description="which tool is called")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("arguments", "args"),
        description="what it is called with",
    )
    headers: dict[str, Any] = Field(default_factory=dict, description="of every request; nulls are dropped")
    limit: int = Field(1000, ge=1, le=10_000, description="tools/list: so many at most")

    @model_validator(mode="after")
    def _whole(self) -> McpConfig:
        if self.method == "tools/call" and not self.tool:
            raise ValueError("tools/call needs a `tool`")
        return self


class Mcp:
    """`kind: mcp`. A write: what a server's tool does, only the server knows."""

    kind: ClassVar[str] = "mcp"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = McpConfig

    def __init__(self, *, allow_private: bool = False, timeout: float = 300.0) -> None:
        """`timeout`, in seconds, holds where a task has none."""
        self._allow_private, self._timeout = allow_private, timeout

    async def run(self, call: Call) -> Done:
        # The SDK is an extra, and loaded by the first task.
        from noetl_stream.tools.mcp.client import asked

        seconds = self._timeout if call.timeout is None else call.timeout
        ask = _listed if call.config.method == "tools/list" else _called
        async with running_time(self.kind, seconds):
            return Done(value=await asked(replace(call, timeout=seconds), ask, self._allow_private))

    async def close(self) -> None:
        """Each call closes its own connection."""


async def _called(client: Client, call: Call) -> Value:
    config: McpConfig = call.config
    result = await client.call_tool(str(config.tool), config.arguments, meta=_meta(call))
    content = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
    text = "\n".join(part["text"] for part in content if part.get("type") == "text")
    value = {"content": content, "structuredContent": result.structured_content, "text": text}
    if result.is_error:
        raise ToolError(
            f"the tool '{config.tool}' failed: {text[:_SHOWN] or 'it does not say why'}",
            kind="client_error",
            code="tool_error",
            value=value,
        )
    return value


async def _listed(client: Client, call: Call) -> Value:
    limit: int = call.config.limit
    found: list[Value] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        # A server that answers with empty pages for ever is stopped by the task's time.
        if len(found) > limit or (cursor := page.next_cursor) is None:
            return {
                "tools": found[:limit],
                "count": min(len(found), limit),
                "truncated": len(found) > limit,
            }


def _meta(call: Call) -> Any:
    return {EFFECT_KEY: call.effect_key}
