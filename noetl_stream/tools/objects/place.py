"""Where an object is: which store, which bucket, which key, and the address that it is asked at."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret
from noetl_stream.tools.connecting import field_of
from noetl_stream.tools.http.guard import checked_addresses
from noetl_stream.tools.http.hosts import check_listed
from noetl_stream.tools.objects.config import ObjectConfig

Provider: TypeAlias = Literal["s3", "gcs", "azure", "file"]
_SCHEMES: Final[dict[str, Provider]] = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "azure": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "file": "file",
}
_WRITTEN: Final[dict[Provider, str]] = {"s3": "s3", "gcs": "gs", "azure": "az", "file": "file"}
_SAID: Final = ("provider", "type", "service")
_WORDS: Final[dict[str, Provider]] = {
    "gcs": "gcs",
    "google": "gcs",
    "azure": "azure",
    "s3": "s3",
    "aws": "s3",
}
ENDPOINT: Final = ("endpoint", "endpoint_url", "base_url")
REGION: Final = ("region", "aws_region")
ACCOUNT: Final = ("account_name", "account", "storage_account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object. For files the bucket is empty and `key` is the path."""

    provider: Provider
    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"{_WRITTEN[self.provider]}://{self.bucket}/{self.key}"

    def sibling(self, key: str) -> Place:
        """Another key of the same bucket. Raises ToolError if it is none."""
        return replace(self, key=_key(key))


def place_of(config: ObjectConfig, secret: Secret | None) -> Place:
    """The place that a task names.

    Raises:
        ToolError: it is none.
    """
    if config.uri is None:
        provider = config.provider or _provider_of(secret)
        return Place(provider=provider, bucket=config.bucket or "", key=_key(config.key or ""))
    parts = _parts(config.uri)
    found = _SCHEMES.get(parts.scheme.lower())
    if found is None:
        raise _invalid(f"no store has the scheme of '{parts.scheme}://…'; use s3, gs, az or file")
    if (found == "file") != (not parts.netloc):
        raise _invalid(f"'{config.uri}' names no bucket; write {parts.scheme}://bucket/key, or file:///path")
    # What follows a `?` or `#` belongs to the key.
    key = config.uri.partition("://")[2].removeprefix(parts.netloc).removeprefix("/")
    if config.key:
        key = f"{key.rstrip('/')}/{config.key.lstrip('/')}".lstrip("/")
    return Place(provider=found, bucket=parts.netloc, key=_key(unquote(key) if found == "file" else key))


def _parts(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError:  # a `[` that opens no address
        raise _invalid(f"'{uri}' is no address; write s3://bucket/key") from None


def check_file(root: Path | None, place: Place) -> None:
    """Whether a file is under the folder that is open to tasks, symbolic links followed.

    Raises:
        ToolError: there is no such folder, or the file is elsewhere.
    """
    if root is None:
        raise ToolError(
            "file:// is not open to tasks here; the deployment names a folder by NOETL_STREAM_FILES",
            kind="client_error",
            code="refused_path",
        )
    if not Path("/", place.key).resolve().is_relative_to(root.resolve()):
        raise ToolError(
            f"'{place.uri}' is not under the folder that is open to tasks; name a file under it",
            kind="client_error",
            code="refused_path",
        )


async def checked_endpoint(url: str, *, allow_private: bool, hosts: tuple[str, ...] | None) -> str:
    """An address that a document named, if it may be called. Without TLS it is that of the very host that was checked.

    With TLS the server's certificate answers for the name.

    Raises:
        ToolError: it may not.
    """
    parsed = _endpoint(url)
    check_listed(parsed, hosts)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    addresses = await checked_addresses(parsed.host, port, allow_private=allow_private)
    return str(parsed if parsed.scheme == "https" else parsed.copy_with(host=addresses[0]))


def _endpoint(url: str) -> httpx.URL:
    with suppress(httpx.InvalidURL):
        parsed = httpx.URL(url)
        if parsed.scheme in ("http", "https") and parsed.host:
            return parsed
    raise _invalid(f"'{url}' is no endpoint; write https://host:port")


def _provider_of(secret: Secret | None) -> Provider:
    said = "" if secret is None else str(field_of(secret, _SAID) or "").lower()
    for word, provider in _WORDS.items():
        if word in said:
            return provider
    if secret is not None and field_of(secret, ACCOUNT) is not None:
        return "azure"
    return "gcs" if secret is not None and field_of(secret, ("private_key",)) is not None else "s3"


def _key(key: str) -> str:
    if any(part in ("..", ".") for part in key.split("/")) or "\0" in key:
        raise _invalid(f"'{key}' is no key; write one without `.` and `..` as its parts")
    return key


def _invalid(sentence: str) -> ToolError:
    return ToolError(sentence, kind="validation")
