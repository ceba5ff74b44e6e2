"""Storage blocks and data contracts as the worker gets them."""

from __future__ import annotations

import pytest

from noetl_stream.core.plan import Expression
from noetl_stream.core.scope import evaluate
from noetl_stream.dsl.contracts import Contract
from noetl_stream.dsl.storage import Selection, Storage, path_of
from tests.dsl.kinds import error
from tests.dsl.reading import pipeline
from tests.dsl.test_problems import flow


def storage_of(step: str) -> Storage:
    found = pipeline(flow(step))
    storage = found.storage or found.tasks[0].storage
    assert storage is not None
    return storage


def contract_of(expect: str) -> Contract:
    found = pipeline(flow(f"step: a\nexpect: {expect}\ntool: {{kind: noop}}")).expect
    assert found is not None
    return found


def number(expression: Expression | None) -> float | None:
    return None if expression is None else float(evaluate(expression, {}))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("count", ("count",)),
        ("$.items[0].id", ("items", "0", "id")),
        ("output.data.total", ("data", "total")),
        ("{{ result.total }}", ("total",)),
        ("rows['a b']", ("rows", "a b")),
        ("$", ()),
    ],
)
def test_a_path_may_be_written_in_many_ways(text: str, path: tuple[str, ...]) -> None:
    assert path_of(text) == path


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ("{store: {kind: disk}}", "disk"),
        ("{store: object}", "object"),
        ("{store: {kind: cache}}", "kv"),
        ("{durable: log}", "log"),
        ("{inline_max_bytes: 1}", "auto"),
    ],
)
def test_a_store_is_named_with_or_without_a_mapping(block: str, kind: str) -> None:
    assert storage_of(f"step: a\nresult: {block}\ntool: {{kind: noop}}").kind == kind


def test_a_selection_without_a_name_has_that_of_its_last_segment() -> None:
    found = storage_of(
        "step: a\ntool: {kind: noop, output: {select: [{path: data.count}, x.y, {path: $.n, as: first}]}, output_select: [id, a.b]}"
    )

    assert found.select == (
        Selection(name="count", path=("data", "count")),
        Selection(name="y", path=("x", "y")),
        Selection(name="first", path=("n",)),
        Selection(name="id", path=("id",)),
        Selection(name="b", path=("a", "b")),
    )


def test_a_threshold_is_in_kibibytes_and_may_be_a_template() -> None:
    plain, rendered = [
        storage_of(f"step: a\nresult: {{output_select: {{threshold_kb: {text}}}}}\ntool: {{kind: noop}}")
        for text in ("'2'", "'{{ 1 + 1 }}'")
    ]

    assert number(plain.inline) == number(rendered.inline) == 2048


def test_a_step_s_storage_lies_over_its_last_task_s() -> None:
    inner, outer = [
        storage_of(f"step: a\nresult: {block}\ntool: {{kind: noop}}")
        for block in ("{store: disk, inline_max_bytes: 5, select: [a]}", "{store: auto, select: [b]}")
    ]
    both = outer.over(inner)

    assert (both.kind, number(both.inline), [each.name for each in both.select]) == ("disk", 5, ["b", "a"])
    assert outer.over(None) is outer


def test_a_contract_s_columns_may_be_written_out() -> None:
    found = contract_of(
        "{schema: {id: {type: int64, nullable: false, unique: true}, note: text, tag: {unique: false}}, unique: [[a, b]]}"
    )

    assert {name: (each.family, each.bits) for name, each in found.types.items()} == {
        "id": ("integer", 64),
        "note": ("text", None),
    }
    assert (found.not_null, found.unique) == (("id",), (("a", "b"), ("id",)))


def test_an_empty_list_of_a_contract_names_no_column() -> None:
    found = contract_of("{not_null: [], unique: []}")

    assert (found.not_null, found.unique) == ((), ())


def test_an_unknown_type_is_an_error_with_its_place_and_a_suggestion() -> None:
    found = error(flow("step: a\nexpect: {schema: {id: integr}}\ntool: {kind: noop}"))

    assert "6:25" in found
    assert "step 'a': column 'id' has the unknown type 'integr'; did you mean 'integer'?" in found


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("{type: int, nulable: false}", "unknown key 'nulable' in key 'expect.schema.id' of step 'a'; did you mean 'nullable'?"),
        ("{type: int, nullable: never}", "key 'expect.schema.id.nullable' of step 'a' is true or false, not text"),
        ("{type: int, unique: '{{ ctx.x }}'}", "key 'expect.schema.id.unique' of step 'a' is true or false: columns are known before anything is rendered"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_column_is_checked(column: str, problem: str) -> None:
    """A template in a flag would be text, and text is true."""
    assert problem in error(flow(f"step: a\nexpect: {{schema: {{id: {column}}}}}\ntool: {{kind: noop}}"))
