"""A credential's fields as the command line is given them: from files, from stdin, or asked for; at worst in the open."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from noetl_stream.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was written on the command line."""

    fields: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    source: str | None = None
    text: str | None = None

    def value(self) -> str | Mapping[str, Any]:
        """One text, or fields. Raises InvalidRequest for nothing, for two ways at once, and for what cannot be read."""
        ways = [self.source is not None, self.text is not None, bool(self.fields + self.files + self.asked)]
        if sum(ways) != 1:
            raise InvalidRequest(
                "say the value in one way: by --field-file, --ask and --field together, by --from, or by --text"
            )
        if self.text is not None:
            return _not_empty(_read(self.text).rstrip("\r\n"), f"--text {self.text}")
        if self.source is not None:
            return _object(self.source)
        return dict([*_written(self.fields), *_from_files(self.files), *_asked(self.asked)])


def _written(fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    from noetl_stream.worker.masking import PUBLIC

    for each in fields:
        name, value = _pair(each, "--field", "NAME=VALUE")
        if name.lower() not in PUBLIC:
            typer.echo(
                f"--field {name}=… is seen by everybody on this machine while this runs, and kept by your shell; "
                f"use --ask {name} or --field-file {name}=FILE",
                err=True,
            )
        yield name, value


def _from_files(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in files:
        name, file = _pair(each, "--field-file", "NAME=FILE")
        yield name, _not_empty(_read(file).rstrip("\r\n"), f"--field-file {each}")


def _asked(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """On a terminal they are asked for, unseen; else each is the next line of stdin."""
    for name in names:
        if sys.stdin.isatty():
            value: str = typer.prompt(name, hide_input=True, confirmation_prompt=True, err=True)
        else:
            value = sys.stdin.readline().rstrip("\r\n")
        yield name, _not_empty(value, f"--ask {name}")


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    """The value is not in the sentence: it may be a secret."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise InvalidRequest(
            f"{option}: write {form}, none of them empty" + (f" ('{name}')" if equals else "")
        )
    return name, value


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read ({error.strerror}); name a readable file") from error
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"{file} is no text in UTF-8; encode it, in Base64 for example, and name that"
        ) from None


def _object(source: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_read(source))
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"--from {source} is no JSON (line {error.lineno}, column {error.colno}); write an object of fields"
        ) from None
    if not isinstance(found, dict) or not found:
        raise InvalidRequest(f"--from {source} is no JSON object with fields; write {{…}}")
    return found


def _not_empty(value: str, option: str) -> str:
    if not value:
        raise InvalidRequest(f"{option} is empty; a credential is never empty")
    return value
