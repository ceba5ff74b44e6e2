"""The Kubernetes API, as little of it as Jobs need. Address and login are the operator's word alone: no kubeconfig is read.

Seven requests do not earn a generated client of some hundred modules, which would look for a login by itself.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import httpx
import orjson

from noetl_stream.errors import ToolError

SECONDS: Final = 30.0
WATCH_SECONDS: Final = 300
LOG_BYTES: Final = 32 * 1024
TOLD_LENGTH: Final = 1024
"""What is repeated of a sentence of Kubernetes' own."""
_MERGE: Final = {"Content-Type": "application/merge-patch+json"}
_NAMESPACES: Final = ("default",)


Kind: TypeAlias = Literal["jobs", "pods", "secrets"]


class Refused(ToolError):
    """The API's no. `reason` is Kubernetes' own word for it, such as `AlreadyExists`."""

    def __init__(self, sentence: str, *, status: int, reason: str) -> None:
        super().__init__(
            sentence,
            kind=_kind(status),
            status=status,
            code=reason,
            retryable=status >= 500 or status == 429,
        )
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the API is. The token's file is read for each request, since the cluster renews it.

    `instance` tells the Jobs of one installation from those of another that shares a namespace with it.
    """

    server: str
    token_file: Path | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    namespaces: tuple[str, ...] = _NAMESPACES
    instance: str = "noetl-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of a kind are meant: by their labels, and by fields of theirs."""

    labels: str
    fields: str = ""

    @property
    def query(self) -> dict[str, str]:
        fields = {"fieldSelector": self.fields} if self.fields else {}
        return {"labelSelector": self.labels, **fields}


class Cluster:
    """One cluster. Every call raises ToolError if it does not answer, and Refused if it says no."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client = httpx.AsyncClient(
            base_url=address.server.rstrip("/"),
            verify=address.tls or True,
            trust_env=False,
            timeout=SECONDS,
            # Two watches stay open for each namespace, and must not take the place of a request.
            limits=httpx.Limits(max_connections=None),
        )

    async def create(self, kind: Kind, namespace: str, body: Mapping[str, Any]) -> None:
        """Create it, unless its name is taken: a repetition changes nothing."""
        try:
            await self._json("POST", _path(kind, namespace), json=body)
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise

    async def find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return await self._json("GET", _path(kind, namespace, name))
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    async def list(self, kind: Kind, namespace: str, wanted: Wanted) -> dict[str, Any]:
        return await self._json("GET", _path(kind, namespace), params=wanted.query)

    async def watch(
        self, kind: Kind, namespace: str, wanted: Wanted, version: str
    ) -> AsyncIterator[dict[str, Any]]:
        """What changes after a list of that version: `{type, object}`, until the API ends it."""
        asked = {"resourceVersion": version, "watch": "1", "timeoutSeconds": str(WATCH_SECONDS)}
        request = self._client.build_request(
            "GET",
            _path(kind, namespace),
            params={**wanted.query, **asked},
            headers=self._login(),
            timeout=httpx.Timeout(SECONDS, read=WATCH_SECONDS + SECONDS),
        )
        try:
            answer = await self._client.send(request, stream=True)
            try:
                if answer.is_error:
                    await answer.aread()
                    raise _refused(answer)
                async for line in answer.aiter_lines():
                    if line.strip():
                        yield _parsed(line, "object")
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    async def patch(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Change a Job, by JSON merge patch."""
        path = _path("jobs", namespace, name)
        await self._json("PATCH", path, content=orjson.dumps(body), headers=_MERGE)

    async def delete(self, namespace: str, name: str) -> None:
        """Delete a Job with its pods; that it is gone already is as good."""
        try:
            await self._json(
                "DELETE", _path("jobs", namespace, name), params={"propagationPolicy": "Background"}
            )
        except Refused as refused:
            if refused.status != 404:
                raise

    async def log(self, namespace: str, pod: str, lines: int) -> str:
        """The last lines of a pod's output, and of these the last 32 KiB."""
        path = f"{_path('pods', namespace, pod)}/log"
        answer = await self._send("GET", path, params={"tailLines": str(lines)})
        return answer.content[-LOG_BYTES:].decode(errors="replace")

    async def close(self) -> None:
        await self._client.aclose()

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return _parsed((await self._send(method, path, **options)).content, "metadata")

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self._login(), **options.pop("headers", {})}
        try:
            answer = await self._client.request(method, path, headers=headers, **options)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if answer.is_error:
            raise _refused(answer)
        return answer

    def _login(self) -> dict[str, str]:
        file = self.address.token_file
        if file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {file.read_text().strip()}"}
        except OSError as error:
            raise ToolError(
                f"the token of Kubernetes cannot be read ({error.strerror}); see NOETL_STREAM_KUBERNETES_TOKEN_FILE",
                kind="credential",
                retryable=True,
            ) from error

    def _silent(self, error: httpx.HTTPError) -> ToolError:
        late = isinstance(error, httpx.TimeoutException)
        return ToolError(
            f"Kubernetes at {self.address.server} does not answer ({type(error).__name__}); is it running?",
            kind="timeout" if late else "connection",
            retryable=True,
        )


def _parsed(text: str | bytes, key: str) -> dict[str, Any]:
    """A mapping that has this key, as whatever Kubernetes says in its place."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or key not in found:
        raise ToolError(
            "what answers in place of Kubernetes is none; correct NOETL_STREAM_KUBERNETES",
            kind="connection",
            retryable=True,
        )
    return found


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def _refused(answer: httpx.Response) -> Refused:
    try:
        status = _parsed(answer.content, "reason")
    except ToolError:
        status = {}
    reason = str(status.get("reason") or answer.reason_phrase)
    told = str(status.get("message") or f"status {answer.status_code}")
    return Refused(
        f"Kubernetes refuses: {told[:TOLD_LENGTH]}; {_advice(answer.status_code)}",
        status=answer.status_code,
        reason=reason,
    )


def _advice(status: int) -> str:
    match status:
        case 401:
            return "renew the token in the file of NOETL_STREAM_KUBERNETES_TOKEN_FILE"
        case 403:
            return "grant it to the installation's service account, or use another namespace"
        case 400 | 404 | 422:
            return "correct the task"
        case _:
            return "try it again"


def _kind(status: int) -> str:
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate_limit"
    return "server_error" if status >= 500 else "client_error"
