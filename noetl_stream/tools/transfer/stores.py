"""Where files are: a path on this machine, or an object in a store. What is written appears whole, under its name, or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from noetl_stream.errors import ToolError


class Store(Protocol):
    """Files by name. Raises ToolError."""

    def matching(self, name: str) -> list[str]:
        """The files meant by a name that may have `*`, or be a folder's, in order; none is an error."""
        ...

    def exists(self, name: str) -> bool: ...

    def reading(self, name: str) -> BinaryIO:
        """The file, open."""
        ...

    def writing(self, name: str) -> Any:
        """A context with a file to write to; it is there when the context ends well, else nothing is."""
        ...

    def remove(self, name: str) -> None: ...

    def stop(self) -> None:
        """End what runs outside. May be called at any moment, again and again."""
        ...


class Disk:
    """This machine's file system, or a folder of it: then nothing outside is seen, symbolic links followed."""

    def __init__(self, said: str, root: Path | None = None) -> None:
        self._said, self._root = said, None if root is None else root.resolve()

    def matching(self, name: str) -> list[str]:
        pattern = os.path.join(name, "*") if name.endswith("/") else name
        self._check(name)
        found = sorted(each for each in glob.glob(pattern) if os.path.isfile(each))
        if not found:
            raise ToolError(f"{self._said}: there is no file '{name}'; check its path", kind="client_error")
        return found

    def exists(self, name: str) -> bool:
        self._check(name)
        return os.path.exists(name)

    def reading(self, name: str) -> BinaryIO:
        self._check(name)
        try:
            return open(name, "rb")
        except OSError as error:
            raise self._failed(name, error) from error

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        self._check(name)
        path = Path(name)
        # Hidden, so that no pattern finds it; beside its place, so that it can be moved there at once.
        part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            raise self._failed(name, error) from error
        finally:
            with suppress(OSError):  # gone to its place, or never made for what is told already
                part.unlink()

    def remove(self, name: str) -> None:
        self._check(name)
        try:
            Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(name, error) from error

    def stop(self) -> None:
        """What it does is soon done."""

    def _check(self, name: str) -> None:
        if self._root is not None and not Path(name).resolve().is_relative_to(self._root):
            raise ToolError(
                f"{self._said}: '{name}' is not under the folder that is open to tasks; name a file under it",
                kind="client_error",
                code="refused_path",
            )

    def _failed(self, name: str, error: OSError) -> ToolError:
        return ToolError(
            f"{self._said}: '{name}': {error.strerror or error}; check the path and its rights",
            kind="client_error",
        )
