"""A document in canonical form: today's spellings, order of keys, indentation and blank lines. What it means stays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from noetl_stream.dsl.source import load
from noetl_stream.editor.checking import problems_of
from noetl_stream.editor.fixes import applied, fix_of, is_older
from noetl_stream.editor.indenting import indented
from noetl_stream.editor.ordering import ordered
from noetl_stream.editor.spacing import spaced
from noetl_stream.errors import InvalidPlaybook
from noetl_stream.ports.tools import Kind


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


_PASSES: Final[tuple[Callable[[str], str], ...]] = (_ended, ordered, indented, spaced)
_UNUSUAL = re.compile("[\r\x85\u2028\u2029]")
"""Line breaks of YAML that are none elsewhere: such a document keeps its lines."""
_ROUNDS = 20


def formatted(text: str, file: str, kinds: Mapping[str, Kind]) -> str:
    """The canonical form. Formatting it again changes nothing.

    Comments, quotes and what is written in brackets stay as they are. A change that would alter what the document
    means is not made.

    Raises:
        InvalidPlaybook: the text is no YAML document.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    load(text, file)
    text = respelled(text, file, kinds)
    if _UNUSUAL.search(text):
        return text
    for change in _PASSES:
        changed = change(text)
        if meaning(changed) == meaning(text):
            text = changed
    return text


def respelled(text: str, file: str, kinds: Mapping[str, Kind]) -> str:
    """The text with every older spelling in today's."""
    for _ in range(_ROUNDS):
        older = [problem for problem in problems_of(text, file, kinds) if is_older(problem)]
        changed = applied([edit for each in older if (edit := fix_of(each, text))], text)
        if changed == text or meaning(changed) is None:
            break
        text = changed
    return text


def meaning(text: str) -> tuple[str, str] | None:
    """What a document says, whatever the order of its keys; but that of `workload` counts. None if it is no document."""
    try:
        found = load(text, "").plain()
    except InvalidPlaybook:
        return None
    return json.dumps(found, sort_keys=True), json.dumps(found.get("workload"))
