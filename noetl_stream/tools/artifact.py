"""The artifact and result_fetch tools: from a reference to the result itself."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, Field

from noetl_stream.core.values import Ref, Value
from noetl_stream.errors import ToolError
from noetl_stream.ports.frames import Cache
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config

_NAMES = ("result_ref", "ref", "_ref", "uri")


class FetchConfig(Config):
    result_ref: Any = Field(
        None,
        validation_alias=AliasChoices("result_ref", "ref", "uri"),
        description="the `_ref` of a result, here or as an input of this name",
    )


class ArtifactConfig(FetchConfig):
    action: Literal["get"] = Field("get", description="what is done with it")


class ResultFetch:
    """`kind: result_fetch`. What a step still knows of an externalised result is its `_ref`: this turns it back."""

    kind: ClassVar[str] = "result_fetch"
    nature: ClassVar[Nature] = "read"
    config: ClassVar[type[BaseModel]] = FetchConfig

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def run(self, call: Call) -> Done:
        given = _given(call)
        if given is None:
            raise ToolError(
                f"{self.kind} needs an input `result_ref`; pass the `_ref` of a result", kind="validation"
            )
        reference = _reference(given)
        return Done(value=await self._read(reference) if reference else _hydrated(given))

    async def close(self) -> None:
        """The cache belongs to whoever made it."""

    async def _read(self, reference: Ref) -> Value:
        if reference.format == "json":
            return await self._cache.json(reference)
        return (await self._cache.frame(reference)).arrow()


class Artifact(ResultFetch):
    """`kind: artifact`."""

    kind: ClassVar[str] = "artifact"
    config: ClassVar[type[BaseModel]] = ArtifactConfig


def _given(call: Call) -> Any:
    config: FetchConfig = call.config
    if config.result_ref is not None:
        return config.result_ref
    return next((call.input[name] for name in _NAMES if call.input.get(name) is not None), None)


def _reference(given: Value) -> Ref | None:
    match given:
        case Ref():
            return given
        case str():
            return _of_uri(given)
        case {"uri": str(uri)}:
            return _of_uri(uri)
        case _:
            return None


def _of_uri(uri: str) -> Ref:
    return Ref(uri=uri, bytes=0, sha256="", format="arrow" if uri.endswith(".arrow") else "json")


def _hydrated(given: Any) -> Value:
    """The worker has followed the reference already."""
    return given.arrow() if hasattr(given, "arrow") else given
