"""A module as bytes: where they come from, and what they say about themselves."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from noetl_stream.errors import ToolError
from noetl_stream.tools.objects.place import Place, check_file
from noetl_stream.tools.wasm.config import Module

MAX_BYTES: Final = 64 << 20
_MAGIC: Final = b"\0asm"
_MODULE: Final = b"\x01\0\0\0"
_WAT: Final = re.compile(r"\s*(?:;;.*\n\s*|\(;.*?;\)\s*)*\(module\b", re.DOTALL)


def module_bytes(plugin: Module, root: Path | None) -> bytes:
    """The module's bytes, 64 MiB at most.

    Raises:
        ToolError: there are none to be had, or they are no module.
    """
    content = _read(plugin.path, root) if plugin.path is not None else _given(plugin.module)
    if not content.startswith(_MAGIC):
        raise _invalid("is no WebAssembly; give it a compiled module, or WAT text")
    if content[4:8] != _MODULE:
        raise _invalid("is a component; build a module instead (target wasm32-wasip1)")
    return content


def check_version(content: bytes, version: str | None) -> None:
    """Whether a valid module is the one that is meant.

    Raises:
        ToolError: it is another one.
    """
    if version is None:
        return
    if version.startswith("sha256:"):
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    else:
        found = _custom(content).get("version", b"").decode(errors="replace").strip()
    if found != version:
        has = f"has the version '{found}'" if found else "has no section `version`"
        raise ToolError(
            f"the wasm module {has}, the task asks for '{version}'; put the right one there, or correct `plugin.version`",
            kind="client_error",
            code="version",
        )


def under_root(root: Path | None, path: str) -> Path:
    """A path that a document names, which must be under the folder that is open to tasks.

    Raises:
        ToolError: it is not, or there is no such folder.
    """
    named = unquote(urlsplit(path).path) if path.startswith("file://") else path
    found = Path(named) if root is None else root / named
    check_file(root, Place(provider="file", bucket="", key=str(found.absolute()).lstrip("/")))
    return found.resolve()


def folder_under_root(root: Path | None, path: str) -> Path:
    """The same of a folder.

    Raises:
        ToolError: it is none, or elsewhere.
    """
    found = under_root(root, path)
    if not found.is_dir():
        raise ToolError(
            f"'{path}' is no folder that a wasm module could be granted; make it, or correct `capabilities.files`",
            kind="client_error",
            code="not_found",
        )
    return found


def _read(path: str, root: Path | None) -> bytes:
    found = under_root(root, path)
    try:
        with found.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ToolError(
            f"the wasm module '{path}' cannot be read ({error.strerror}); check its path",
            kind="client_error",
            code="not_found",
        ) from error
    if len(content) > MAX_BYTES:
        raise ToolError(
            f"the wasm module '{path}' is larger than {MAX_BYTES >> 20} MiB; strip it",
            kind="client_error",
            code="too_large",
        )
    return content


def _given(module: Any) -> bytes:
    text = module.get("data") if isinstance(module, Mapping) else module
    if not isinstance(text, str):
        raise _invalid(
            "is neither WAT nor base64 text, nor a result with such `data`; get it with `format: bytes`"
        )
    if _WAT.match(text):
        return _assembled(text)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise _invalid("is neither WAT nor base64 text; get it with `format: bytes`") from None


def _assembled(text: str) -> bytes:
    from wasmtime import WasmtimeError, wat2wasm

    try:
        return bytes(wat2wasm(text))
    except WasmtimeError as error:
        raise _invalid(f"is no valid WAT: {' '.join(str(error).split())}") from error


def _custom(content: bytes) -> Mapping[str, bytes]:
    """The custom sections of a valid module by name."""
    found = {}
    for kind, section in _sections(content):
        if kind == 0:
            size, start = _number(section, 0)
            found[section[start : start + size].decode(errors="replace")] = section[start + size :]
    return found


def _sections(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 8
    while place < len(content):
        size, start = _number(content, place + 1)
        yield content[place], content[start : start + size]
        place = start + size


def _number(content: bytes, place: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _invalid(why: str) -> ToolError:
    return ToolError(f"the wasm module {why}", kind="validation", code="invalid_module")
