"""What may be written at a cursor: keys and words by place, steps, tasks and entries by name, names and filters in templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from noetl_stream.core.names import ENVELOPE, LAST, UNSHADOWABLE
from noetl_stream.dsl.sandbox import sandbox
from noetl_stream.editor.cursor import Cursor, cursor_at
from noetl_stream.editor.json_shapes import Schema
from noetl_stream.editor.outline import Outline, StepOutline, outline_of
from noetl_stream.editor.places import keys_of, schemas_at, words_at
from noetl_stream.editor.template_words import FILTERS, NAMES, RESULTS

Sort = Literal["key", "word", "step", "name", "filter"]
_TEMPLATE = re.compile(r"\{\{(?P<written>(?:(?!\}\}).)*)$|\{%(?P<said>(?:(?!%\}).)*)$", re.DOTALL)
_PATH = re.compile(r"((?:[A-Za-z_]\w*\.)*)[A-Za-z_]?\w*$")
_STEP_PLACES = (
    ("next",),
    ("next", "*"),
    ("next", "step"),
    ("next", "*", "step"),
    ("arcs", "*"),
    ("arcs", "*", "step"),
    ("on_error", "step"),
    ("on_failure", "step"),
    ("entry_step",),
    ("final_step",),
)
"""Where a value names a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One thing that may be written; `inserted` is its text where that differs."""

    label: str
    sort: Sort
    words: str = ""
    inserted: str | None = None


def completions(text: str, line: int, column: int, schema: Schema) -> list[Completion]:
    """What may be written at a line and column that count from 0."""
    cursor, outline = cursor_at(text, line, column), outline_of(text, line)
    before = "\n".join([*text.split("\n")[max(0, line - 50) : line], text.split("\n")[line][:column]])
    if found := _TEMPLATE.search(before):
        return list(_in_template(found["written"] or found["said"] or "", cursor, outline))
    if cursor.writing == "key":
        beside = cursor.known.get(cursor.path, {})
        return [*_keys(cursor, schema, beside), *_words(cursor, outline, schema)]
    return list(_words(cursor, outline, schema))


def _keys(cursor: Cursor, schema: Schema, beside: Mapping[str, str]) -> Iterator[Completion]:
    for key, each in keys_of(schemas_at(schema, cursor.path, cursor.known)).items():
        if key not in beside and "deprecated" not in each:
            yield Completion(label=key, sort="key", words=each.get("description", ""), inserted=f"{key}: ")


def _words(cursor: Cursor, outline: Outline, schema: Schema) -> Iterator[Completion]:
    path = cursor.path
    if any(path[-len(place) :] == place for place in _STEP_PLACES):
        yield from (Completion(label=s.name, sort="step", words=_told(s)) for s in outline.steps.values())
    if path[-2:] == ("then", "to"):
        tasks = dict.fromkeys(task for step in outline.steps.values() for task in step.tasks)
        yield from (Completion(label=task, sort="name", words="A task.") for task in tasks)
    beside = cursor.known.get(path[:-1], {})
    if path[-1:] == ("workbook",) or (path[-1:] == ("name",) and beside.get("kind") == "workbook"):
        yield from (Completion(label=name, sort="name", words="An entry.") for name in outline.workbook)
    if cursor.writing == "value":
        for word, words in words_at(schemas_at(schema, path, cursor.known)).items():
            yield Completion(label=word, sort="word", words=words or "")


def _in_template(written: str, cursor: Cursor, outline: Outline) -> Iterator[Completion]:
    head = _PATH.search(written)
    before = written[: head.start()].rstrip() if head else written
    if before.endswith("|"):
        for name in sorted(name for name in sandbox().filters if not name.startswith("_")):
            yield Completion(label=name, sort="filter", words=FILTERS.get(name, "One of Jinja's own."))
        return
    above = head[1].rstrip(".").split(".") if head and head[1] else []
    for name, words in _below(above, outline) if above else _roots(cursor, outline):
        yield Completion(label=name, sort="name", words=words)


def _roots(cursor: Cursor, outline: Outline) -> Iterator[tuple[str, str]]:
    for name in (*UNSHADOWABLE, *LAST):
        yield name, NAMES.get(name, "")
    yield from ((step.name, _told(step)) for step in outline.steps.values() if step.name.isidentifier())
    yield from ((name, "An input.") for name in outline.workload)
    yield from ((name, "A variable of the execution.") for name in outline.ctx)
    here = outline.steps.get(next((s["step"] for s in cursor.known.values() if "step" in s), ""))
    if here is not None:
        yield from ((task, "An earlier task's result.") for task in here.tasks)
        yield from ((name, "The loop's item.") for name in (here.iterator,) if name)


def _below(path: list[str], outline: Outline) -> Iterable[tuple[str, str]]:
    match path:
        case ["workload" | "payload"]:
            return [(name, "An input.") for name in outline.workload]
        case ["ctx"]:
            return [(name, "A variable of the execution.") for name in outline.ctx]
        case ["iter"]:
            return [("index", "The iteration's number, from 0."), ("total", "How many there are.")]
        case ["steps"]:
            return [(step.name, _told(step)) for step in outline.steps.values()]
        case ["steps", _] | ["output"]:
            return [(name, "Of the envelope.") for name in sorted(ENVELOPE)]
        case ["keychain"]:
            return [(name, "A credential.") for name in outline.keychain]
        case ["event"]:
            return [("name", "`step.done`, `step.failed` or `loop.done`.")]
        case [name] if name in outline.steps:
            return [(key, "Of the result.") for key in result_keys(outline.steps[name])]
        case _:
            return []


def result_keys(step: StepOutline) -> tuple[str, ...]:
    """The keys of a step's result that its tool tells."""
    if step.iterator is not None:
        return RESULTS["loop"]
    last = RESULTS.get(step.kinds[-1], ()) if step.kinds else ()
    return last if step.single else (*last, *RESULTS["pipeline"])


def _told(step: StepOutline) -> str:
    kinds = " → ".join(step.kinds) or "routes"
    return f"{kinds}. {step.desc}" if step.desc else f"{kinds}."
