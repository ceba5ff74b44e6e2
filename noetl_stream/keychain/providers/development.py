"""Secrets of whoever develops: variables that are listed by name, and files below one folder. Not for anything shared.

Nothing else of the platform takes a business credential from the environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from noetl_stream.keychain.asking import failed
from noetl_stream.keychain.providers.service import Found, Login, fields_or_text

_MOST: Final = 1 << 20
"""Bytes of one file."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Those that the settings list, as they were when the worker began."""

    found: Mapping[str, str] = field(repr=False)

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        _no_version(version)
        if ref not in self.found:
            raise failed(
                f"no variable '{ref}' is set and listed; list it in NOETL_STREAM_KEYCHAIN_ENVIRONMENT"
            )
        return Found(value=fields_or_text(self.found[ref]))


@dataclass(frozen=True, slots=True)
class Files:
    """Text files below `folder`, wherever links lead. A newline at the end is not part of a secret."""

    folder: Path

    async def read(self, ref: str, version: str | None, login: Login) -> Found:
        _no_version(version)
        return Found(value=fields_or_text(await asyncio.to_thread(self._text, ref)))

    def _text(self, ref: str) -> str:
        root = self.folder.resolve()
        path = (root / ref).resolve()
        if not path.is_relative_to(root):
            raise failed(f"'{ref}' leads out of the folder of secrets; name a file in it")
        try:
            if not path.is_file():
                raise failed(f"there is no file '{ref}' in the folder of secrets; put it there")
            with path.open("rb") as file:
                return file.read(_MOST).decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise failed(f"the file '{ref}' is no text; write it in UTF-8") from None
        except OSError as error:
            raise failed(
                f"the file '{ref}' cannot be read ({error.strerror}); let this worker read it"
            ) from None


def _no_version(version: str | None) -> None:
    if version is not None:
        raise failed("it keeps no versions; ask for none")
