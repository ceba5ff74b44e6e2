"""Playbooks and subscriptions as files: found, read and checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import typer

from noetl_stream.core.plan import Plan
from noetl_stream.core.subscription import SubscriptionPlan
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.dsl.documents import is_subscription
from noetl_stream.dsl.subscription import compile_subscription
from noetl_stream.errors import InvalidPlaybook, InvalidRequest, Problem
from noetl_stream.ports.tools import Kind
from noetl_stream.tools.builtin import kinds

_OURS = re.compile(r"^apiVersion:\s*['\"]?noetl\.io/", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A playbook that compiles; `warnings` are for its author."""

    file: Path
    text: str
    plan: Plan
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A subscription that compiles."""

    file: Path
    text: str
    plan: SubscriptionPlan
    warnings: tuple[Problem, ...]


D = TypeVar("D", bound=Document | Subscribed)


@cache
def kinds_here() -> Mapping[str, Kind]:
    """Asking every installed distribution for its plugins takes as long as compiling a playbook."""
    return kinds()


def checked(file: Path) -> Document:
    """Read and compile one file. Raises InvalidPlaybook with every problem, InvalidRequest if it cannot be read."""
    text = text_of(file)
    compiled = compile_playbook(text, file=str(file), kinds=kinds_here())
    return Document(file=file, text=text, plan=compiled.plan, warnings=compiled.warnings)


def registrable(file: Path) -> Document | Subscribed:
    """Likewise, a playbook or a subscription: whatever a catalog holds."""
    text = text_of(file)
    if not is_subscription(text, str(file)):
        return checked(file)
    compiled = compile_subscription(text, file=str(file), environment=environment_here(text))
    return Subscribed(file=file, text=text, plan=compiled.plan, warnings=compiled.warnings)


def environment_here(text: str) -> Mapping[str, str]:
    """The variables that a document may see. Only a subscription asks for them."""
    if "Subscription" not in text:
        return {}
    from noetl_stream.settings import settings_from_environment

    return settings_from_environment().visible_environment()


def checked_all(files: Iterable[Path], read: Callable[[Path], D]) -> tuple[D, ...]:
    """As `checked` or `registrable`, for all of them: the problems of every file in one error."""
    documents: list[D] = []
    problems: list[Problem] = []
    for file in files:
        try:
            documents.append(read(file))
        except InvalidPlaybook as error:
            problems += error.problems
    if problems:
        raise InvalidPlaybook(tuple(problems))
    _check_paths(documents)
    return tuple(documents)


def catalogued(files: Iterable[Path]) -> tuple[Document, ...]:
    """The playbooks of a catalog that compile. One that does not is shown with its problems and left out: whoever needs
    it is told that it is not in the catalog, and nobody else is held up. Of two with one path the later is the newer.
    """
    documents: list[Document] = []
    for file in files:
        try:
            documents.append(checked(file))
        except (InvalidPlaybook, InvalidRequest) as error:
            typer.echo(f"{file} is left out of the catalog:\n{error}", err=True)
    return tuple(documents)


def files_of(places: Iterable[Path]) -> tuple[Path, ...]:
    """The playbooks named, and those under named folders, once each. Raises InvalidRequest where there is nothing."""
    found = dict.fromkeys(file for place in places for file in _files(place))
    return tuple(found)


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read ({error}); name a playbook's YAML file") from error


def warn(documents: Iterable[Document | Subscribed]) -> None:
    """Show the warnings, one to a line."""
    for document in documents:
        for problem in document.warnings:
            typer.echo(str(problem), err=True)


def warn_missing(documents: Iterable[Document | Subscribed], known: Collection[str]) -> None:
    """Warn of playbooks that the documents start and that are neither among themselves nor `known` to a catalog."""
    from noetl_stream.dsl.calling import missing_children

    documents = tuple(documents)
    known = {*known, *(document.plan.path for document in documents)}
    for document in documents:
        for problem in missing_children(document.text, str(document.file), known):
            typer.echo(str(problem), err=True)


def _files(place: Path) -> Iterator[Path]:
    if not place.exists():
        raise InvalidRequest(f"there is no file or folder {place}; check its path")
    if not place.is_dir():
        yield place
        return
    candidates = sorted(file for suffix in ("*.yaml", "*.yml") for file in place.rglob(suffix))
    found = [file for file in candidates if _OURS.search(text_of(file))]
    if not found:
        raise InvalidRequest(f"there is no playbook under {place}; playbooks say `apiVersion: noetl.io/v2`")
    yield from found


def _check_paths(documents: Iterable[Document | Subscribed]) -> None:
    seen: dict[str, Document | Subscribed] = {}
    for document in documents:
        other = seen.setdefault(document.plan.path, document)
        if other.text != document.text:
            raise InvalidRequest(
                f"{other.file} and {document.file} both have the path '{document.plan.path}'; give one another path"
            )
