"""docs/language.md names every key, name, filter and kind that the language knows, and says of each that is idle that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2.filters import FILTERS as JINJA

from noetl_stream.core.names import ENVELOPE, EVENT_NAMES, LAST, UNSHADOWABLE, VARIABLES
from noetl_stream.dsl import document, pending, schema
from noetl_stream.dsl.kinds import ALIASES, ERROR_KINDS, EXTRAS
from noetl_stream.dsl.limits import LIMITS
from noetl_stream.dsl.metering import FILTERS
from noetl_stream.dsl.rewrite import METHODS
from noetl_stream.dsl.shapes import Either, Keys, Many, Shape
from noetl_stream.tools.builtin import BUILTIN

TEXT = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
NOT_YET = PROSE.partition("\n## Not yet\n")[2]
_CODE = re.compile(r"`([^`]+)`")

SHAPES: dict[str, Shape] = {
    "playbook": document.PLAYBOOK,
    "step": Keys(keys=schema.STEP),
    "task": Keys(keys=schema.TASK),
    "task spec": Keys(keys=schema.TASK_SPEC),
}


def words(text: str) -> set[str]:
    """Every word that stands in inline code."""
    return {word for code in _CODE.findall(text) for word in re.findall(r"\w+", code)}


def spelled(shape: Shape) -> Iterator[str]:
    """Every key at and below a shape."""
    match shape:
        case Keys(keys=keys):
            for key, below in keys.items():
                yield key
                yield from spelled(below)
        case Many(of=below):
            yield from spelled(below)
        case Either():
            for each in (shape.mapping, shape.list, shape.scalar):
                yield from spelled(each) if each is not None else ()
        case _:
            return


@pytest.mark.parametrize("part", SHAPES)
def test_every_key_is_documented(part: str) -> None:
    assert set(spelled(SHAPES[part])) - words(PROSE) == set()


@pytest.mark.parametrize("keys", pending.DOCUMENT, ids=".".join)
def test_a_key_of_the_document_that_nothing_acts_on_is_listed(keys: tuple[str, ...]) -> None:
    assert re.search(rf"`{re.escape('.'.join(keys))}\b", NOT_YET)


@pytest.mark.parametrize("keys", sorted({*pending.STEP, *pending.TASK}), ids=".".join)
def test_a_key_of_a_step_or_task_that_nothing_acts_on_is_listed(keys: tuple[str, ...]) -> None:
    assert re.search(rf"`{re.escape('.'.join(keys))}\b", NOT_YET)


def test_every_word_of_a_rule_is_documented() -> None:
    assert {*schema.ACTIONS, *schema.BACKOFF.words} <= words(PROSE)


def test_every_kind_is_there() -> None:
    """`workbook` is none that runs: its entry takes its place."""
    assert EXTRAS.keys() - BUILTIN.keys() == {"workbook"}
    assert set(BUILTIN) | set(ALIASES) <= words(PROSE)


def test_every_name_of_a_template_is_documented() -> None:
    ours = {name for name in FILTERS if name not in JINJA and not name.startswith("_")}
    removed = {name for name in JINJA if name not in FILTERS}
    events = {word for pair in EVENT_NAMES.items() for name in pair for word in name.split(".")}

    known = {*UNSHADOWABLE, *LAST, *VARIABLES, *ENVELOPE, *ERROR_KINDS, *METHODS, *ours, *removed, *events}
    assert known - words(PROSE) == set()


def test_limits_are_those_of_the_code() -> None:
    assert f"{LIMITS.output >> 20} MiB of text and lists of {LIMITS.items:,} elements" in PROSE
    assert f"in {LIMITS.operations:,} operations" in PROSE
