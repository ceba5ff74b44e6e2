"""The eight rules of names in templates, one section each."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_stream.core.values import Envelope, NeedsPayload, Ref, Result
from noetl_stream.dsl.lookup import parts_of
from noetl_stream.dsl.templates import BadTemplate, template, truth


def value(text: str, **scope: Any) -> Any:
    return template(text).evaluate(scope)


def reference(**parts: Any) -> Ref:
    return Ref(uri="cache://x", bytes=1, sha256="", format="json", parts=parts)


class Rows:
    """A table as templates see it."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._rows)

    def arrow(self) -> None: ...

    @property
    def ref(self) -> Ref:
        return Ref(uri="cache://rows", bytes=1, sha256="", format="arrow", rows=len(self))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class TestRule1NativeValues:
    @given(JSON)
    def test_any_json_value_survives_a_sole_expression(self, given_value: Any) -> None:
        found = value("{{ x }}", x=given_value)

        assert found == given_value
        assert type(found) is type(given_value)

    @given(JSON)
    def test_any_json_value_survives_inside_a_result(self, given_value: Any) -> None:
        assert value("{{ load.x }}", load=Result({"x": given_value})) == given_value

    @pytest.mark.parametrize("text", ["{{ x }}", " {{ x }}", "{{ x }}\n", "\n {{x}} \n", "{{- x -}}"])
    def test_white_space_around_a_sole_expression_does_not_matter(self, text: str) -> None:
        assert value(text, x="007") == "007"
        assert value(text, x=7) == 7

    def test_text_is_never_typed_again(self) -> None:
        assert value("{{ a }}{{ b }}", a=0, b=7) == "07"
        assert value("{{ x }}", x="[1, 2]") == "[1, 2]"

    def test_a_lone_undefined_yields_null(self) -> None:
        assert value("{{ nowhere }}") is None
        assert value("{{ nowhere.at.all }}") is None

    def test_undefined_is_empty_in_mixed_text(self) -> None:
        assert value("a{{ nowhere.at.all }}b") == "ab"

    def test_other_values_are_written_with_str_in_mixed_text(self) -> None:
        written = value("{{ n }}/{{ t }}/{{ i }}/{{ l }}", n=None, t=True, i=1.5, l=[1, "a"])

        assert written == "None/True/1.5/[1, 'a']"

    def test_trailing_new_lines_of_mixed_text_stay(self) -> None:
        assert value("x {{ a }}\n", a=1) == "x 1\n"

    def test_two_expressions_are_text(self) -> None:
        assert value("{{ a }} {{ a }}", a=1) == "1 1"

    def test_braces_inside_a_string_do_not_end_the_expression(self) -> None:
        assert value("{{ '}}' ~ x }}", x=1) == "}}1"

    def test_statements_work(self) -> None:
        text = "{% for i in xs if i > 1 %}{{ loop.index }}:{{ i }}{{ ',' if not loop.last }}{% else %}none{% endfor %}"

        assert value(text, xs=[1, 2, 3]) == "1:2,2:3"
        assert value(text, xs=[]) == "none"

    def test_macros_and_captures_work(self) -> None:
        text = (
            "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{% set y %}{{ twice('a') }}{% endset %}<{{ y }}>"
        )

        assert value(text) == "<aa>"

    def test_a_namespace_carries_values_out_of_a_loop(self) -> None:
        text = "{% set n = namespace(t=0) %}{% for i in xs %}{% set n.t = n.t + i %}{% endfor %}{{ n.t }}"

        assert value(text, xs=[1, 2, 3]) == "6"

    def test_what_jinja_cannot_parse_is_named(self) -> None:
        with pytest.raises(BadTemplate, match="expected token") as caught:
            template("{{ a b }}")
        assert not caught.value.parses

    def test_dates_come_out_as_iso_text_and_durations_as_seconds(self) -> None:
        at = datetime(2026, 1, 2, 3, tzinfo=UTC)

        assert value("{{ now() }}", now=lambda: at) == "2026-01-02T03:00:00+00:00"
        assert value("{{ d }}", d=date(2026, 1, 2)) == "2026-01-02"
        assert value("{{ d }}", d=timedelta(minutes=1)) == 60.0

    def test_decimals_come_out_as_numbers_only_where_that_is_exact(self) -> None:
        found = value(
            "{{ xs | list }}",
            xs=[Decimal("1.5"), Decimal(3), Decimal("0.1234567890123456789"), Decimal("NaN")],
        )

        assert found == [1.5, 3, "0.1234567890123456789", "NaN"]
        assert value("{{ x }}", x=Decimal(10**20)) == str(10**20)

    def test_values_that_are_only_like_json_come_out_as_json(self) -> None:
        class Several(list[Any]):
            pass

        assert value("{{ x }}", x=ChainMap({"a": (1,)}, {"b": Result(2)})) == {"a": [1], "b": 2}
        assert value("{{ [x] }}", x=Several([1])) == [[1]]
        assert value("{{ x.a }}", x=ChainMap({"a": 1})) == 1

    def test_a_macro_that_cannot_be_compiled_is_named(self) -> None:
        with pytest.raises(BadTemplate, match="caller"):
            template("{% macro m(caller, x) %}{{ caller() }}{% endmacro %}{{ m(1, 2) }}")

    def test_expressions_around_a_statement_are_text(self) -> None:
        assert value("{{ a }}{% if a %}-{% endif %}{{ a }}", a=1) == "1-1"

    def test_powers_of_floats_are_numbers(self) -> None:
        assert value("{{ 2.0 ** 3 + 2 ** -1 + 7 % 4 }}") == 11.5

    def test_numbers_that_json_lacks_are_null(self) -> None:
        assert value("{{ 1e308 * 10 }}") is None
        assert value("{{ [x] | tojson }}", x=float("nan")) == "[null]"

    def test_in_looks_into_lists_texts_and_keys(self) -> None:
        text = "{{ 1 in xs }}{{ 1 not in xs }}{{ 'a' in 'abc' }}{{ 'k' in d }}{{ [1] in [[1]] }}{{ 1 in nowhere }}"

        assert value(text, xs=[1], d={"k": 1}) == "TrueFalseTrueTrueTrueFalse"
        assert value("{{ xs | select('in', [1, 2]) }}", xs=[1, 3]) == [1]
        assert value("{{ 1 < a <= 3 and a == b }}", a=2, b=2) is True

    def test_what_is_no_json_is_refused(self) -> None:
        with pytest.raises(TypeError, match="cannot yield a"):
            value("{{ range }}")

    def test_tuples_ranges_and_generators_come_out_as_lists(self) -> None:
        assert value("{{ (1, 2) }}") == [1, 2]
        assert value("{{ range(3) }}") == [0, 1, 2]
        assert value("{{ xs | map('upper') }}", xs=["a"]) == ["A"]


class TestRule2KeysNotAttributes:
    def test_a_key_named_like_a_method_is_a_key(self) -> None:
        assert value("{{ start.items }}", start={"items": [1]}) == [1]
        assert value("{{ start['keys'] }}", start={"keys": 2}) == 2

    @pytest.mark.parametrize(
        "text", ["{{ x.upper }}", "{{ x['upper'] }}", "{{ x.__class__ }}", "{{ x.real }}"]
    )
    def test_attributes_and_methods_are_undefined(self, text: str) -> None:
        assert value(text, x="s") is None
        assert value(text, x=1) is None
        assert value(text, x=[1]) is None

    def test_a_list_has_indexes_from_both_ends_and_slices(self) -> None:
        xs = [1, 2, 3]

        assert value("{{ xs[0] }}/{{ xs[-1] }}/{{ xs[5] }}/{{ xs['0'] }}", xs=xs) == "1/3//"
        assert value("{{ xs[1:] }}", xs=xs) == [2, 3]
        assert value("{{ xs[::2] }}", xs=xs) == [1, 3]

    def test_an_older_method_call_becomes_a_filter_and_says_so(self) -> None:
        compiled = template("{{ x.get('a', 3) }}")

        assert compiled.evaluate({"x": {}}) == 3
        assert compiled.notes == ("values have no methods; write `| get` in place of `.get()`",)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{{ 'a,b'.split(',')[1] }}", "b"),
            ("{{ ' a  b '.split() }}", ["a", "b"]),
            ("{{ 'a,b,c'.split(',', 1) }}", ["a", "b,c"]),
            ("{{ ', '.join(['a', 1]) }}", "a, 1"),
            ("{{ 'abc'.startswith('ab') and not 'abc'.endswith('ab') }}", True),
            ("{{ 'ab cd'.title() ~ 'AB'.capitalize() }}", "Ab CdAb"),
            ("{{ now().isoformat() }}", "2026-01-02T03:00:00+00:00"),
            ("{{ now().strftime('%Y/%m, 100%%') }}", "2026/01, 100%"),
            ("{{ ('2026-01-02' | todatetime).strftime('%d') }}", "02"),
        ],
    )
    def test_methods_of_text_and_dates_are_read_as_filters(self, text: str, expected: Any) -> None:
        assert template(text).notes[0].startswith("values have no methods; write ")
        assert value(text, now=lambda: datetime(2026, 1, 2, 3, tzinfo=UTC)) == expected

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("{{ now() | strftime('%999999d') }}", ValueError),
            ("{{ now() | strftime('%Y' * 200) }}", ValueError),
            ("{{ 7 | isoformat }}", TypeError),
            ("{{ ('a,' * 150000) | split(',') }}", ValueError),
        ],
    )
    def test_they_are_bounded_like_all_filters(self, text: str, fault: type[Exception]) -> None:
        with pytest.raises(fault):
            value(text, now=lambda: datetime(2026, 1, 2, 3, tzinfo=UTC))

    def test_other_calls_are_refused(self) -> None:
        with pytest.raises(BadTemplate, match="a value cannot be called; use a filter") as caught:
            template("{{ x.pop() }}")
        assert caught.value.parses

    def test_a_group_has_its_grouper_and_its_list(self) -> None:
        text = (
            "{% for g in xs | groupby('k') %}{{ g.grouper }}{{ g.list | length }}{{ g.count }} {% endfor %}"
        )

        assert value(text, xs=[{"k": 1}, {"k": 2}, {"k": 1}]) == "12 21 "


class TestRule3Undefined:
    def test_undefined_is_chainable_and_falsy(self) -> None:
        assert value("{{ 'no' if not a.b.c else 'yes' }}", a={}) == "no"
        assert value("{{ a.b.c is defined }}", a={}) is False

    def test_a_look_up_on_null_is_undefined_but_null_is_defined(self) -> None:
        assert value("{{ a.b is defined }}", a=None) is False
        assert value("{{ a is defined }}", a=None) is True
        assert value("{{ a is none }}", a=None) is True

    def test_reads_are_the_constant_paths(self) -> None:
        text = "{{ load.rows[0].x + ctx['n'] + steps[name].y + xs[-1] }}"

        assert template(text).reads == {
            ("load", "rows", "0", "x"),
            ("ctx", "n"),
            ("steps",),
            ("name",),
            ("xs", "-1"),
        }

    def test_names_that_a_template_binds_are_not_read(self) -> None:
        text = (
            "{% set a = b.c %}{% for k, v in a | items %}{{ k }}{{ v.x }}{{ loop.index }}{% endfor %}"
            "{% macro m(p) %}{{ p.q }}{{ varargs }}{% endmacro %}{{ m(z) }}{% with w = u.v %}{{ w.t }}{% endwith %}"
        )

        assert template(text).reads == {("b", "c"), ("z",), ("u", "v")}

    def test_a_name_bound_in_one_branch_only_is_still_read(self) -> None:
        one = "{% if a %}{% set x = 1 %}{% endif %}{{ x }}"
        both = (
            "{% if a %}{% set x = 1 %}{% elif b %}{% set x = 2 %}{% else %}{% set x = 3 %}{% endif %}{{ x }}"
        )

        assert ("x",) in template(one).reads
        assert ("x",) not in template(both).reads

    def test_keys_that_cannot_be_told_from_a_path_are_not_part_of_one(self) -> None:
        assert template("{{ load['a.b'].c }}").reads == {("load",)}
        assert template("{{ load[true] }}").reads == {("load",)}

    def test_a_value_that_is_only_handed_on_is_known_as_such(self) -> None:
        assert template("{{ load }}").passes == {("load",)}
        assert template("{{ {'a': load.x, 'b': [1, other]} }}").passes == {("load", "x"), ("other",)}
        assert template("{{ a if b else c }}").passes == {("a",), ("c",)}
        assert template("{{ load | length }}").passes == frozenset()


class TestRule4LenientResults:
    def test_a_result_answers_from_its_own_data_one_level(self) -> None:
        load = Result({"status": 200, "data": {"id": 7, "data": {"deep": 1}}})

        assert value("{{ load.id }}", load=load) == 7
        assert value("{{ load['id'] }}", load=load) == 7
        assert value("{{ load.status }}", load=load) == 200
        assert value("{{ load.deep }}", load=load) is None

    def test_data_on_a_result_without_it_is_the_result(self) -> None:
        assert value("{{ load.data.x }}", load=Result({"x": 1})) == 1
        assert value("{{ load.data }}", load=Result([1])) == [1]
        assert value("{{ load.data[0] }}", load=Result([1])) == 1

    def test_nested_values_and_variables_are_not_lenient(self) -> None:
        assert value("{{ load.a.x }}", load=Result({"a": {"data": {"x": 1}}})) is None
        assert value("{{ ctx.x }}", ctx={"data": {"x": 1}}) is None

    def test_an_envelope_answers_from_its_own_keys_first(self) -> None:
        output = Envelope(
            {"status": "ok", "data": {"status": "late", "n": 3, "data": {"m": 4}}, "error": None}
        )

        assert value("{{ output.status }}", output=output) == "ok"
        assert value("{{ output.n }}", output=output) == 3
        assert value("{{ output.data.m }}", output=output) == 4
        assert value("{{ output.nothing }}", output=output) is None
        assert value("{{ output.error.kind }}", output=output) is None

    def test_an_integer_on_a_sql_result_indexes_its_rows(self) -> None:
        load = Result({"rows": [{"x": 1}, {"x": 2}], "columns": ["x"], "row_count": 2})

        assert value("{{ load[1].x }}", load=load) == 2
        assert value("{{ load[:1] }}", load=load) == [{"x": 1}]
        assert value("{{ load[0] }}", load=Result({"a": 1})) is None
        assert value("{{ load[0:1] is defined }}", load=Result({"a": 1})) is False

    def test_a_result_used_whole_is_the_plain_value(self) -> None:
        load = Result({"a": 1})

        assert value("{{ load }}", load=load) == {"a": 1}
        assert value("{{ load == {'a': 1} }}", load=load) is True
        assert value("{{ load | tojson }}", load=load) == '{"a": 1}'
        assert value("{{ output }}", output=Envelope({"data": Result(1)})) == {"data": 1}
        assert value("{{ [load] | list }}", load=load) == [{"a": 1}]

    def test_a_frame_is_a_list_of_rows_without_attributes(self) -> None:
        load = Result({"rows": Rows([{"x": 1}, {"x": 2}, {"x": 3}]), "row_count": 3})

        assert value("{{ load.rows | length }}", load=load) == 3
        assert value("{{ load.rows[-1].x }}", load=load) == 3
        assert value("{{ load[0].x }}", load=load) == 1
        assert value("{{ load.rows[1:] }}", load=load) == [{"x": 2}, {"x": 3}]
        assert value("{{ load.rows.arrow is defined }}", load=load) is False
        assert value("{{ load.rows | sum(attribute='x') }}", load=load) == 6
        assert value("rows: {{ load.rows }}", load=load) == "rows: [{'x': 1}, {'x': 2}, {'x': 3}]"
        assert value("{{ load.rows | tojson }}", load=load) == '[{"x": 1}, {"x": 2}, {"x": 3}]'

    def test_a_frame_handed_on_stays_a_frame(self) -> None:
        rows = Rows([{"x": 1}])

        assert value("{{ load.rows }}", load=Result({"rows": rows})) is rows


class TestReferences:
    def test_constant_look_ups_answer_from_parts(self) -> None:
        load = Result(reference(**{"rows.0.x": 7, "total": {"n": 1}, "absent?": False}))

        assert value("{{ load.rows[0].x + 1 }}", load=load) == 8
        assert value("{{ load.total.n }}", load=load) == 1
        assert value("{{ load.total.m }}", load=load) is None
        assert value("{{ load.absent.x is defined }}", load=load) is False

    @pytest.mark.parametrize(
        "text",
        [
            "{{ load.rows }}",
            "{{ load | length }}",
            "{{ load[key] }}",
            "text {{ load }}",
            "{{ output.other }}",
        ],
    )
    def test_what_parts_do_not_hold_needs_the_payload(self, text: str) -> None:
        ref = reference(total=1)

        with pytest.raises(NeedsPayload):
            value(text, load=Result(ref), key="k", output=Envelope({"data": ref}))

    def test_a_reference_is_handed_on_whole(self) -> None:
        ref = reference()

        assert value("{{ load }}", load=Result(ref)) is ref
        assert value("{{ {'a': [load]} }}", load=Result(ref)) == {"a": [ref]}
        assert value("{{ output.data }}", output=Envelope({"data": ref})) is ref
        assert value("{{ load is defined and load is not none }}", load=Result(ref)) is True

    def test_a_reference_in_a_value_that_is_written_out_needs_the_payload(self) -> None:
        for text in ("{{ x | tojson }}", "x {{ x }}"):
            with pytest.raises(NeedsPayload):
                value(text, x={"a": [reference()]})

    def test_an_externalised_result_tells_where_it_is(self) -> None:
        small, large = reference(), replace(reference(), bytes=2**21)

        assert value("{{ load._ref }} {{ load._store }}", load=Result(small)) == "cache://x kv"
        assert value("{{ load._store }}", load=Result(large)) == "disk"
        assert value("{{ load._store }}", load=Result(replace(large, store="s3"))) == "s3"
        assert value("{{ load._store }}", load=Result(replace(large, store="gcs"))) == "gcs"
        assert value("{{ load._ref is defined }}", load=Result({"a": 1})) is False
        assert value("{{ load._ref }}", load=Result(Rows([]))) == "cache://rows"

    def test_parts_may_hold_the_whole(self) -> None:
        load = Result(reference(**{"": {"data": {"x": 1}}}))

        assert value("{{ load.x }}", load=load) == 1
        assert value("{{ load | length }}", load=load) == 1

    def test_behind_data_only_the_payload_knows_more(self) -> None:
        with pytest.raises(NeedsPayload):
            value("{{ load.data.x }}", load=Result(reference(data={"a": 1})))

    def test_a_reference_inside_a_result_answers_relative_to_itself(self) -> None:
        load = Result({"row_count": 2, "rows": reference(**{"0.x": 5}), "data": reference(y=6)})

        assert value("{{ load[0].x }}", load=load) == 5
        assert value("{{ load.rows[0].x }}", load=load) == 5
        assert value("{{ load.y }}", load=load) == 6

    def test_parts_of_a_result_are_what_templates_would_read(self) -> None:
        result = {
            "rows": Rows([{"x": 1}]),
            "row_count": 1,
            "data": {"n": 2},
            "big": "x" * 100,
            "ref": reference(),
        }
        paths = [("rows", "0", "x"), ("n",), ("nowhere", "x"), ("big",), ("ref",), ("0", "x")]

        parts = parts_of(result, paths, limit=50)

        assert parts == {"rows.0.x": 1, "n": 2, "nowhere.x?": False, "0.x": 1}
        load = Result(reference(**parts))
        assert value("{{ load[0].x + load.n }}", load=load) == 3
        assert value("{{ load.nowhere.x is defined }}", load=load) is False


class TestRule5Filters:
    def test_tojson_is_plain_json(self) -> None:
        text = value(
            "{{ x | tojson }}",
            x={
                "a": "<é>",
                "d": date(2026, 1, 2),
                "n": Decimal("1.50"),
                "e": Decimal("0.1234567890123456789"),
            },
        )

        assert text == '{"a": "<é>", "d": "2026-01-02", "n": 1.5, "e": "0.1234567890123456789"}'
        assert value("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"

    @given(JSON)
    def test_fromjson_reads_what_tojson_writes(self, given_value: Any) -> None:
        assert value("{{ x | tojson | fromjson }}", x=given_value) == json.loads(json.dumps(given_value))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{{ 'ä' | b64encode }}", "w6Q="),
            ("{{ 'w6Q=' | b64decode }}", "ä"),
            ("{{ {'a': 1} | get('a') }}", 1),
            ("{{ {'a': 1} | get('b') }}", None),
            ("{{ {'a': 1} | get('b', 2) }}", 2),
            ("{{ [5] | get(0) }}", 5),
            ("{{ none | get('x', 4) }}", 4),
            ("{{ {'a': 1} | keys }}", ["a"]),
            ("{{ {'a': 1} | values }}", [1]),
            ("{{ {'a': 1} | items }}", [["a", 1]]),
            ("{{ nowhere | items }}", []),
            ("{{ 'abc' | sha256 }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("{{ '2026-01-02' | todatetime }}", "2026-01-02T00:00:00"),
            ("{{ 0 | todatetime }}", "1970-01-01T00:00:00+00:00"),
            ("{{ ('2026-01-02' | todatetime | todatetime) > ('2026-01-01' | todatetime) }}", True),
            ("{{ 'a1b22' | regex_search('[0-9]+') }}", "1"),
            ("{{ 'a1b22' | regex_search('([a-z])([0-9]+)', 1, 2) }}", ["a", "1"]),
            ("{{ 'abc' | regex_search('x') }}", None),
            ("{{ 'ABC' | regex_match('a', ignorecase=true) }}", "A"),
            ("{{ 'cab' | regex_match('a') }}", None),
            ("{{ 'a1b2' | regex_findall('[0-9]') }}", ["1", "2"]),
            ("{{ 'a1b2' | regex_findall('([a-z])([0-9])') }}", [["a", "1"], ["b", "2"]]),
            (r"{{ 'a1' | regex_replace('([a-z])([0-9])', '\\2\\1') }}", "1a"),
            ("{{ [1, 2] | sum }}", 3),
            ("{{ [{'x': {'y': 2}}] | sum(attribute='x.y') }}", 2),
            ("{{ [1, none, 'a'] | join('-') }}", "1-None-a"),
            ("{{ [{'x': 1}] | join(',', attribute='x') }}", "1"),
            ("{{ [[7]] | join(',', attribute=0) }}", "7"),
            ("{{ 'aXbX' | replace('X', '-') }}", "a-b-"),
            ("{{ 'aXbX' | replace('X', '-', 1) }}", "a-bX"),
            ("{{ 'a' | center(3) }}", " a "),
            ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
            ("{{ 'a\nb' | indent('> ', true) }}", "> a\n> b"),
            ("{{ [1, 2, 3] | batch(2) }}", [[1, 2], [3]]),
            ("{{ [1, 2, 3] | slice(2) }}", [[1, 2], [3]]),
            ("{{ 'aa bb' | wordwrap(2) }}", "aa\nbb"),
            ("{{ 2.345 | round(1) }}", 2.3),
            ("{{ [3, 1] | sort | first }}", 1),
            ("{{ x | default('d') }}", "d"),
            ("{{ 'a' ~ 1 ~ none }}", "a1None"),
            ("{{ '<b>' | escape }}", "&lt;b&gt;"),
            ("{{ ['b', 'a'] | map('upper') | sort | join }}", "AB"),
            ("{{ [{'a': 1}, {'a': 2}] | selectattr('a', 'gt', 1) | map(attribute='a') | list }}", [2]),
        ],
    )
    def test_a_filter_yields(self, text: str, expected: Any) -> None:
        assert value(text) == expected

    def test_dates_are_datetimes_to_todatetime(self) -> None:
        assert value("{{ d | todatetime }}", d=date(2026, 1, 2)) == "2026-01-02T00:00:00"

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("{{ 'NaN' | fromjson }}", ValueError),
            ("{{ 1 | items }}", TypeError),
            ("{{ [[1]] | sum(start=[]) }}", TypeError),
            ("{{ 'a' | regex_search('(') }}", ValueError),
            ("{{ 'a' | regex_search('a' * 20000) }}", ValueError),
            ("{{ 'soon' | todatetime }}", ValueError),
        ],
    )
    def test_a_filter_refuses(self, text: str, fault: type[Exception]) -> None:
        with pytest.raises(fault):
            value(text)

    def test_an_unknown_filter_or_test_is_found_when_compiled_even_in_a_branch(self) -> None:
        with pytest.raises(BadTemplate, match="no filter 'uper'; did you mean 'upper'"):
            template("{{ (x | uper) if y else z }}")
        with pytest.raises(BadTemplate, match="no test 'evn'; did you mean 'even'"):
            template("{% if x is evn %}{% endif %}")


class TestRule6Truth:
    @pytest.mark.parametrize(
        "text", ["", "false", "False", "0", "no", "NO", "none", "null", "off", "{}", "[]", " "]
    )
    def test_text_that_says_no_is_false(self, text: str) -> None:
        assert truth(text) is False

    @pytest.mark.parametrize("text", ["true", "yes", "x", "00", "falsey"])
    def test_all_other_text_is_true(self, text: str) -> None:
        assert truth(text) is True

    def test_other_values_are_as_they_are(self) -> None:
        assert [truth(each) for each in (True, False, None, 0, 2, [], [0], {}, {"a": 1})] == [
            True, False, False, False, True, False, True, False, True,
        ]  # fmt: skip


class TestEvents:
    def test_an_older_event_name_compares_equal_and_is_reported(self) -> None:
        compiled = template("{{ event.name == 'call.done' or event.name in ['call.error'] }}")

        assert compiled.evaluate({"event": {"name": "step.done"}}) is True
        assert compiled.evaluate({"event": {"name": "step.failed"}}) is True
        assert compiled.evaluate({"event": {"name": "loop.done"}}) is False
        assert compiled.notes == (
            "the event 'call.done' is now called 'step.done'",
            "the event 'call.error' is now called 'step.failed'",
        )
