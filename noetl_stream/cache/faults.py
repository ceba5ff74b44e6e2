"""What a store's error means: who must act, in one sentence that shows neither a URL's query nor a credential."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from noetl_stream.errors import InfrastructureError

Kind: TypeAlias = Literal["credentials", "no credentials", "bucket", "unreachable", "failed"]

_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "InvalidToken")
_METADATA = ("169.254.169.254", "metadata.google", "169.254.170.2")
_CONNECTION = ("kind: Connect", "kind: Timeout", "TimedOut", "body error")


def store_fault(error: Exception, place: str) -> InfrastructureError:
    """An error of obstore as ours. `place` is the cache's URL as it was configured."""
    text = str(error)
    why = _why(text) or type(error).__name__
    match kind_of(error, text):
        case "no credentials":
            sentence = f"no credentials were found for the cache at {place}; docs/cache.md says where they are looked for"
        case "credentials":
            sentence = f"the cache at {place} refuses the platform's credentials ({why}); renew them, or allow them to read and write there"
        case "bucket":
            sentence = f"the bucket of the cache at {place} is not there ({why}); create it, or correct NOETL_STREAM_CACHE"
        case "unreachable":
            sentence = f"the cache at {place} does not answer ({why}); check its endpoint and the network"
        case "failed":
            sentence = f"the cache at {place} failed ({why}); look at the store's own state"
    return InfrastructureError(sentence)


def kind_of(error: Exception, text: str) -> Kind:
    """Who must act."""
    if any(address in text for address in _METADATA):
        return "no credentials"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or any(c in text for c in _EXPIRED):
        return "credentials"
    if any(sign in text for sign in _NO_BUCKET):
        return "bucket"
    return "unreachable" if any(sign in text for sign in _CONNECTION) else "failed"


def is_missing_object(error: Exception) -> bool:
    """Whether the store is well and merely lacks the object."""
    return isinstance(error, FileNotFoundError) and kind_of(error, str(error)) == "failed"


def is_from_store(error: Exception) -> bool:
    """Whether an error is obstore's; a number is what the local disk's have."""
    return not isinstance(error, OSError) or error.errno is None


def _why(text: str) -> str:
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return ", ".join([status[1].strip(), *([code[1]] if code else [])])
    first = text.partition("\n")[0]
    return first.rpartition(" - ")[2] if " - " in first else first.rpartition(": ")[2]
