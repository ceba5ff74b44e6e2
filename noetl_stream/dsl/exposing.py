"""A playbook as a tool that an MCP server offers: what `metadata.exposes_as_mcp` says, and what is known of it anyway.

Pure: whoever serves reads the catalog, lists by `exposed`, and answers by `answer_of` and `failure_of`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from noetl_stream.core.values import Value
from noetl_stream.dsl.offered import answer_schema, input_schema
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template, truth

PATH_KEY: Final = "noetl.io/path"
"""Where in a tool's `_meta` its playbook's path stands."""

_LONGEST: Final = 64
_NAME: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{_LONGEST}}}")
_NOT_OF_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_KEY: Final = "exposes_as_mcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """One tool. `takes` and `answers` are JSON Schemas of objects; `answers` is None where nothing is promised.

    A result that is promised to be no object is `wrapped`: it stands as `{result: …}`, since MCP's structure is an object.
    """

    path: str
    name: str
    title: str
    description: str
    takes: Mapping[str, Value]
    answers: Mapping[str, Value] | None = None
    wrapped: bool = False

    def listed(self) -> dict[str, Value]:
        """As MCP's `tools/list` has it."""
        shown: dict[str, Value] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.takes,
            "_meta": {PATH_KEY: self.path},
        }
        return shown if self.answers is None else {**shown, "outputSchema": self.answers}


def exposed(document: Node, path: str) -> Exposed | None:
    """The tool that a playbook is, None if it does not say so. The document has compiled; `path` is the catalog's."""
    asked = document.get("metadata", _KEY)
    if asked is None or not _says_so(asked):
        return None
    answers, wrapped = answer_schema(document)
    title = document.written("metadata", "name") or path
    return Exposed(
        path=path,
        name=_written(asked, "name") or name_of(path),
        title=_written(asked, "title") or title,
        description=_written(asked, "description") or document.written("metadata", "description") or title,
        takes=input_schema(document),
        answers=answers,
        wrapped=wrapped,
    )


def name_of(path: str) -> str:
    """A tool's name where none is given: all that a model's vendor takes of the path, the end of a long one."""
    return _NOT_OF_A_NAME.sub("_", path).strip("_")[-_LONGEST:]


def check_exposed(document: Node, site: Site) -> None:
    """Report what is no name of a tool, and what cannot be known before anything runs."""
    asked = document.get("metadata", _KEY)
    if asked is None:
        return
    path = document.written("metadata", "path") or document.written("metadata", "name") or ""
    if has_template(asked.text or ""):
        told = f"key 'metadata.{_KEY}' of {site.subject} is no template: it is read where nothing is rendered"
        site.report.error(told, asked.place, "write true or false")
    elif _says_so(asked) and not _NAME.fullmatch(name := _written(asked, "name") or name_of(path)):
        place = (asked.get("name") or asked).place
        told = (
            f"'{name}' is no name of an MCP tool" if name else f"no name of an MCP tool is left of '{path}'"
        )
        hint = f"write `{_KEY}: {{name: …}}` with at most {_LONGEST} letters, digits, `_` and `-`"
        site.report.error(told, place, hint)


def clashes(tools: Iterable[Exposed]) -> Mapping[str, tuple[str, ...]]:
    """Names that several playbooks have, and whose they are."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for tool in tools:
        paths[tool.name].append(tool.path)
    return {name: tuple(found) for name, found in paths.items() if len(found) > 1}


def answer_of(tool: Exposed, result: Value) -> dict[str, Value]:
    """What a call is answered with: the result as structure, and as text for whoever reads that alone."""
    text = result if isinstance(result, str) else orjson.dumps(result).decode()
    whole = result if isinstance(result, Mapping) and not tool.wrapped else {"result": result}
    return {"content": [{"type": "text", "text": text}], "structuredContent": whole, "isError": False}


def failure_of(error: Mapping[str, Value]) -> dict[str, Value]:
    """What a call is answered with whose execution failed with `error`: a tool's own failure, which a model may mend."""
    text = f"{error['kind']}: {error['message']}"
    return {"content": [{"type": "text", "text": text}], "isError": True}


def _says_so(asked: Node) -> bool:
    return asked.is_mapping or truth(asked.value)


def _written(asked: Node, key: str) -> str | None:
    found = asked.get(key)
    return None if found is None or found.is_mapping or found.is_list else str(found.value).strip() or None
