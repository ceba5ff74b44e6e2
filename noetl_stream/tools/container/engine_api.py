"""The HTTP API that Docker and Podman share, over a socket of this host: as little of it as containers of tasks need.

Its paths carry no version: the oldest that today's Docker takes is newer than the newest that Podman knows.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from noetl_stream.errors import ToolError
from noetl_stream.tools.container.engine_log import Tail

SCHEME: Final = "unix://"
SECONDS: Final = 30.0
TOLD_LENGTH: Final = 1024
"""What is repeated of a sentence of the engine's own."""


class EngineRefused(ToolError):
    """The engine's no."""

    def __init__(self, sentence: str, *, status: int) -> None:
        late = status >= 500
        super().__init__(
            f"the container engine refuses: {sentence[:TOLD_LENGTH]}; {'try it again' if late else 'correct the task'}",
            kind="server_error" if late else "client_error",
            status=status,
            retryable=late,
        )
        self.said = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAddress:
    """Its socket. `instance` tells the containers of one installation from those of another at the same engine."""

    socket: Path
    instance: str = "noetl-stream"


class EngineApi:
    """One engine. Every call raises ToolError if it does not answer, and EngineRefused if it says no."""

    def __init__(self, address: EngineAddress) -> None:
        self.address = address
        self._client = httpx.AsyncClient(
            base_url="http://engine",
            transport=httpx.AsyncHTTPTransport(uds=str(address.socket), limits=httpx.Limits(max_connections=None)),
            trust_env=False,
            timeout=SECONDS,
        )  # fmt: skip

    async def find(self, path: str) -> dict[str, Any] | None:
        """An object; None if it is not there."""
        try:
            found = await self._json("GET", path)
        except EngineRefused as refused:
            if refused.status != 404:
                raise
            return None
        return _mapping(found)

    async def containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """All that have these labels, in whatever state; the newest last."""
        found = await self._json("GET", "/containers/json", params={"all": "true", **_filters(labels)})
        if not isinstance(found, list):
            raise _strange()
        return sorted(found, key=lambda each: each["Created"])

    async def volumes(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        found = _mapping(await self._json("GET", "/volumes", params=_filters(labels)))
        return list(found.get("Volumes") or ())

    async def create(self, name: str, container: Mapping[str, Any]) -> None:
        """Create it, unless its name is taken: a repetition changes nothing. Docker says so with 409, Podman with 500."""
        try:
            await self._send("POST", "/containers/create", params={"name": name}, json=container)
        except EngineRefused as refused:
            if refused.status == 404 or await self.find(f"/containers/{name}/json") is None:
                raise

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        await self._send("POST", "/volumes/create", json={"Name": name, "Labels": dict(labels)})

    async def start(self, name: str) -> None:
        await self._send("POST", f"/containers/{name}/start")

    async def kill(self, name: str) -> None:
        """Kill it; that it is gone, or has ended, is as good."""
        await self._unless_gone("POST", f"/containers/{name}/kill", 404, 409)

    async def delete(self, name: str) -> None:
        """Kill and delete it; that it is gone, or about to be, is as good."""
        await self._unless_gone("DELETE", f"/containers/{name}?force=true&v=true", 404, 409)

    async def delete_volume(self, name: str) -> None:
        await self._unless_gone("DELETE", f"/volumes/{name}", 404)

    async def pull(self, image: str) -> None:
        """Pull an image, for as long as it takes. Without a tag or a digest the engine would take every tag."""
        tagged = "@" in image or ":" in image.rpartition("/")[2]
        asked = {"fromImage": image, **({} if tagged else {"tag": "latest"})}
        async with self._streaming("POST", "/images/create", asked) as answer:
            async for line in answer.aiter_lines():
                told = _parsed(line) if line.strip() else {}
                if error := told.get("error"):
                    raise EngineRefused(str(error), status=404)

    async def log(self, name: str, lines: int) -> str:
        """The last lines of what it wrote, and of these the last 32 KiB."""
        asked = {"stdout": "true", "stderr": "true", "tail": str(lines)}
        tail = Tail()
        async with self._streaming("GET", f"/containers/{name}/logs", asked) as answer:
            async for chunk in answer.aiter_bytes():
                tail.feed(chunk)
        return tail.text

    @asynccontextmanager
    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What happens to containers of these labels from here on."""
        asked = {"filters": _filters(labels, type=["container"])["filters"]}
        async with self._streaming("GET", "/events", asked) as answer:
            yield _lines(answer)

    async def close(self) -> None:
        await self._client.aclose()

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return _parsed((await self._send(method, path, **options)).content)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise unreachable(self.address.socket, error) from error
        _accept(answer)
        return answer

    async def _unless_gone(self, method: str, path: str, *statuses: int) -> None:
        try:
            await self._send(method, path)
        except EngineRefused as refused:
            if refused.status not in statuses:
                raise

    @asynccontextmanager
    async def _streaming(
        self, method: str, path: str, asked: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """An answer that comes for as long as it likes."""
        patient = httpx.Timeout(SECONDS, read=None)
        try:
            async with self._client.stream(method, path, params=asked, timeout=patient) as answer:
                if answer.is_error:
                    await answer.aread()
                _accept(answer)
                yield answer
        except httpx.HTTPError as error:
            raise unreachable(self.address.socket, error) from error


async def _lines(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.strip():
            yield _mapping(_parsed(line))


def unreachable(socket: Path, error: BaseException) -> ToolError:
    """Why the engine does not answer, and who must act."""
    match _cause(error):
        case FileNotFoundError() | NotADirectoryError():
            said, kind = (
                "is not there; start the engine, or correct NOETL_STREAM_CONTAINER_ENGINE",
                "connection",
            )
        case PermissionError():
            said, kind = "may not be used by this process; add its user to the socket's group", "auth"
        case ConnectionRefusedError():
            said, kind = "has nobody behind it; start the engine", "connection"
        case _ if isinstance(error, httpx.TimeoutException):
            said, kind = f"does not answer ({type(error).__name__}); is the engine well?", "timeout"
        case _:
            said, kind = f"does not answer ({type(error).__name__}); is the engine running?", "connection"
    return ToolError(f"the container engine's socket {socket} {said}", kind=kind, retryable=kind != "auth")


def _cause(error: BaseException) -> BaseException:
    """What the operating system said, at the bottom of what httpx makes of it."""
    chain = deque([error], maxlen=1)
    while (below := chain[0].__cause__ or chain[0].__context__) is not None:
        chain.append(below)
    return chain[0]


def _accept(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        told = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        told = None
    said = told.get("message") if isinstance(told, dict) else None
    raise EngineRefused(str(said or f"status {answer.status_code}"), status=answer.status_code)


def _filters(labels: Mapping[str, str], **more: list[str]) -> dict[str, str]:
    wanted = {"label": [f"{name}={value}" for name, value in labels.items()], **more}
    return {"filters": json.dumps(wanted)}


def _parsed(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _strange() from None


def _mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _strange()
    return found


def _strange() -> ToolError:
    return ToolError(
        "what answers in place of the container engine is none; correct NOETL_STREAM_CONTAINER_ENGINE",
        kind="connection",
        retryable=True,
    )
