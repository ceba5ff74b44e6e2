"""A state written and read is the same state; equal states have equal hashes."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

import pytest

from noetl_stream.core import snapshot
from noetl_stream.core.done import DoneSet, Ended
from noetl_stream.core.events import BlockId
from noetl_stream.core.snapshot import dump, load, state_hash
from noetl_stream.core.values import Error, Ref
from tests.histories.blueprints import loop, plan, step
from tests.histories.builder import history
from tests.histories.lives import LIVES


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1.5,
        "text",
        "a lone \ud800 half",
        [1, [2.0, "x"]],
        {"a": {"b": None}},
        {"@": "of ours"},
        {1: "a key that JSON has not"},
        (1, (2,)),
        BlockId("a", 1, 2),
        {BlockId("a", 0, 0): None},
        Error(kind="sql", message="m"),
        Ref(uri="u", bytes=1, sha256="", format="json", parts={"a": [1]}),
        1 << 100_000,
        -(1 << 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    found = load(dump(value))

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("life", LIVES)
def test_a_partition_comes_back_as_it_was(life: str) -> None:
    state = LIVES[life]().state

    assert load(dump(state)) == state
    assert state_hash(load(dump(state))) == state_hash(state)


@pytest.mark.slow
def test_a_loop_with_a_failure_late_in_it_can_be_checkpointed() -> None:
    """Python writes no integer of more than 4,300 digits in decimal; a bitset has that many from iteration 14,285 on."""
    log = history(plan(step("each", loop=loop(20_000, limit=20_000, parallel=True, on_error="continue"))))
    log.requested().failed("each", iteration=19_999)

    assert load(dump(log.execution)) == log.execution


def test_a_set_of_ended_executions_comes_back_as_it_was() -> None:
    done = DoneSet()
    for hour in range(3):
        done.add(hour + 1, Ended(hour, 2**64 - 1), at=hour * 3_600.0)

    assert load(dump(done)) == done


def test_the_order_in_which_things_came_is_state() -> None:
    assert state_hash({"a": 1, "b": 2}) != state_hash({"b": 2, "a": 1})


@pytest.mark.parametrize("other", [[("hour", "int"), ("x", "int")], [("hour", "float")], [("hours", "int")]])
def test_a_state_with_other_fields_has_another_shape(
    monkeypatch: pytest.MonkeyPatch, other: list[tuple[str, str]]
) -> None:
    monkeypatch.setitem(snapshot._CLASSES, "DoneSet", make_dataclass("DoneSet", [("hour", "int")]))
    ours = snapshot.shape.__wrapped__()
    monkeypatch.setitem(snapshot._CLASSES, "DoneSet", make_dataclass("DoneSet", other))

    assert snapshot.shape.__wrapped__() != ours


def test_a_checkpoint_can_name_no_class_of_its_own() -> None:
    with pytest.raises(KeyError):
        load(b'{"@":"Popen","of":{}}')
