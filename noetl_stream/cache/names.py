"""Where an object lives: a path of safe segments derived from its key, completed by the hash of its content.

A step may be called anything. Segments are spelled in the letters that every store and file system keeps as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

from noetl_stream.core.values import Ref
from noetl_stream.errors import DamagedResult, ToolError
from noetl_stream.ports.frames import FrameKey

Format = Literal["json", "arrow"]

SCHEME = "cache:"
EXPIRING = "expiring"
"""The folder of the notes of what may go."""
_HASH_DIGITS = 16
_LONGEST_SEGMENT = 120
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_OWNER = re.compile(r"(?:(\d+)/|claims/[a-z]+=2F(\d+)=2F)")
_NAME = re.compile(r"(?:[A-Za-z0-9_=-]+/)+[A-Za-z0-9_=-]+-([0-9a-f]{16})\.(json|arrow)")


def segment(text: str) -> str:
    """One path segment: other bytes than letters, digits, `_` and `-` become `=XX`; long ones end in their hash."""
    safe = _UNSAFE.sub(lambda m: b"=%02X" % m[0][0], text.encode()).decode() or "="
    if len(safe) <= _LONGEST_SEGMENT:
        return safe
    return f"{safe[:_LONGEST_SEGMENT]}={sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def object_name(key: FrameKey, digest: str, format: Format) -> str:
    """`execution/step/epoch/iteration/attempt/name-hash.format`."""
    return f"{folder_of(key)}{segment(key.name)}-{digest[:_HASH_DIGITS]}.{format}"


def folder_of(key: FrameKey) -> str:
    """Below which all objects of a block's attempt stand."""
    step, epoch, iteration = key.block
    return f"{key.execution}/{segment(step)}/{epoch}/{iteration}/{key.attempt}/"


def claim_name(name: str) -> str:
    """Claims stand apart from results, under their whole name as one segment."""
    return f"claims/{segment(name)}"


def expiry_notes(key: FrameKey, refs: Iterable[Ref], moment: float) -> list[str]:
    """The notes that those of `refs` which this attempt wrote may go from `moment` (whole seconds) on. A note tells all
    by its name."""
    names = (name for ref in refs if (name := name_of(ref)).startswith(folder_of(key)))
    return [f"{EXPIRING}/{moment:012.0f}/{name}" for name in dict.fromkeys(names)]


def expiry_of(note: str) -> tuple[float, str]:
    """The moment and the object of a note."""
    _, moment, name = note.split("/", 2)
    return float(moment), name


def execution_of(name: str) -> int | None:
    """Whose an object is; None for one that is no execution's."""
    found = _OWNER.match(name)
    return None if found is None else int(found[1] or found[2])


def uri(name: str) -> str:
    """A reference names the object, not the store: a cache that moves keeps its references."""
    return SCHEME + name


def name_of(ref: Ref) -> str:
    """The object a reference names.

    Raises:
        ToolError: the reference is not one of ours. Nothing outside the cache can be named.
    """
    name = ref.uri.removeprefix(SCHEME)
    if name == ref.uri or not _NAME.fullmatch(name):
        raise ToolError(
            f"'{ref.uri}' is no reference into the cache; pass the `_ref` of a result", kind="client_error"
        )
    return name


def format_of(name: str) -> Format:
    """What the stored bytes are."""
    return "arrow" if name.endswith(".arrow") else "json"


def digest_of(ref: Ref) -> str:
    """The sha256 of the stored bytes in hex: whole if the reference has it, else as much as the name holds."""
    match = _NAME.fullmatch(name_of(ref))
    return ref.sha256 or (match[1] if match else "")


def compare(ref: Ref, digest: str) -> None:
    """Refuse bytes whose sha256 is not the one that the reference holds. Raises DamagedResult."""
    if not digest.startswith(digest_of(ref)):
        raise DamagedResult(f"the cache's bytes for {ref.uri} are not the ones written")


def gone(ref: Ref) -> ToolError:
    """The object is not there."""
    return ToolError(
        f"the result {ref.uri} is gone from the cache; run its step again",
        kind="client_error",
        code="gone",
    )


def never_created(name: str) -> ToolError:
    """Nobody created an object of this name."""
    return ToolError(
        f"the cache holds no object '{name}'; run its step again",
        kind="client_error",
        code="gone",
    )
