"""Which filters there are; each is charged for the size of what it is given and bounded in what it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from itertools import islice
from typing import Any, Final

from jinja2.filters import FILTERS as JINJA
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import pass_context

from noetl_stream.dsl import filters, regex
from noetl_stream.dsl.limits import LIMITS, check_bits, check_items, check_text

Filter = Callable[..., Any]

EACH: Final = "_each"
"""The filter put around whatever a `for` goes over."""

WEIGHED: Final = "_weighed"
"""The filter put around one side of a comparison."""
WITHIN: Final = "_within"
"""The test in place of `in`."""
SPENT: Final = "_spent"
"""The filter at the beginning of a macro's body."""

_COMPARING = frozenset(
    "sort unique min max groupby dictsort select reject selectattr rejectattr map".split()  # noqa: SIM905
)
"""Filters that compare what they are given to its depths."""
_COMPARISONS = frozenset(
    "== eq equalto != ne > gt greaterthan >= ge < lt lessthan <= le in lower upper".split()  # noqa: SIM905
)

_PASSING = frozenset(
    "length count first last list items keys values get default d batch slice sum reverse join".split()  # noqa: SIM905
)
"""Filters that hand on what they are given, or look at its elements alone. All others write it out."""
_PER_NODE = 16
"""Nodes of a body that cost one operation."""

_LIGHT = (int, float, bool, type(None))
_REFUSED = frozenset({"attr", "format", "pprint", "random"})
"""Jinja's filters that reach into objects, size their output by their input, or draw by chance."""

_OURS: Mapping[str, Filter] = {
    "b64decode": filters.b64_decode,
    "b64encode": filters.b64_encode,
    "batch": filters.batch,
    "center": filters.center,
    "endswith": filters.endswith,
    "fromjson": filters.from_json,
    "get": filters.get,
    "groupby": filters.groupby,
    "indent": filters.indent,
    "isoformat": filters.isoformat,
    "items": filters.items,
    "join": filters.join,
    "keys": filters.keys,
    "regex_findall": regex.findall,
    "regex_match": regex.match,
    "regex_replace": regex.replace,
    "regex_search": regex.search,
    "replace": filters.replace,
    "round": filters.rounded,
    "sha256": filters.sha256,
    "slice": filters.slices,
    "split": filters.split,
    "startswith": filters.startswith,
    "strftime": filters.strftime,
    "sum": filters.total,
    "todatetime": filters.to_datetime,
    "urlize": filters.urlize,
    "tojson": filters.json_text,
    "values": filters.values,
    "wordwrap": filters.wordwrap,
}


def metered(function: Filter, *, deep: bool, writes: bool) -> Filter:
    """The filter with its meter: `deep` if it compares its input, `writes` if it may write it out as text."""
    passes = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @wraps(function)
    def run(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        size = len(value) if hasattr(value, "__len__") else 0
        context.charge(size + 1)
        if deep:
            context.charge(2 * size * _steps((*args, *kwargs.values())))
            context.weigh(value)
        if writes:
            _measure(context, (value, *args, *kwargs.values()))
        return _bounded(context, function(*_lead(passes, context), value, *args, **kwargs))

    return pass_context(run)


def _steps(given: tuple[Any, ...]) -> int:
    """Look-ups that the longest path among what a filter was given may make on each element."""
    return max((each.count(".") + each.count(",") for each in given if isinstance(each, str)), default=0)


def _measure(context: Any, given: tuple[Any, ...]) -> None:
    for each in given:
        if type(each) not in _LIGHT and not isinstance(each, str):
            context.measure(each)


def _lead(passes: str | None, context: Any) -> tuple[Any, ...]:
    match passes:
        case "context":
            return (context,)
        case "eval_context":
            return (context.eval_ctx,)
        case "environment":
            return (context.environment,)
        case _:
            return ()


def _bounded(context: Any, made: Any) -> Any:
    if isinstance(made, Iterator):
        made = [_made(context, each) for each in islice(made, LIMITS.items + 1)]
        context.charge(len(made))
    if isinstance(made, list):
        check_items(len(made))
        context.charge(len(made) // 8)
    if isinstance(made, int):
        check_bits(made.bit_length())
    return _made(context, check_text(made))


def _made(context: Any, each: Any) -> Any:
    """What a filter made, text charged by its length: many of them together may be more than memory holds."""
    if isinstance(each, str):
        context.charge(len(each) // 64)
    return each


@pass_context
def each(context: Any, value: Any, nodes: int) -> Any:
    """What a `for` goes over, charged for running its body so often."""
    if hasattr(value, "__len__"):
        context.charge(len(value) * _cost(nodes))
    return value


@pass_context
def spent(context: Any, value: Any, nodes: int) -> Any:
    """A macro's body, charged once more."""
    context.charge(_cost(nodes))
    return value


def _cost(nodes: int) -> int:
    return 1 + max(nodes, 0) // _PER_NODE


@pass_context
def weighed(context: Any, value: Any) -> Any:
    """A side of a comparison, charged for its depth."""
    if type(value) not in _LIGHT:
        context.weigh(value)
    return value


@pass_context
def within(context: Any, needle: Any, haystack: Any) -> bool:
    """`in`: charged for every element that the needle is compared with."""
    size = len(haystack) if hasattr(haystack, "__len__") and not isinstance(haystack, dict) else 1
    context.charge(size // (256 if isinstance(haystack, str) else 4))
    if type(needle) not in _LIGHT and not isinstance(haystack, str):
        context.charge(context.weigh(needle) * size)
    return needle in haystack


def compared(test: Filter) -> Filter:
    """A test that compares, charged for the depth of what it is given."""

    @wraps(test)
    def run(context: Any, value: Any, *args: Any) -> Any:
        return test(weighed(context, value), *args)

    return pass_context(run)


FILTERS: Mapping[str, Filter] = {
    EACH: each,
    SPENT: spent,
    WEIGHED: weighed,
    **{
        name: metered(function, deep=name in _COMPARING, writes=name not in _COMPARING | _PASSING)
        for name, function in {**JINJA, **_OURS}.items()
        if name not in _REFUSED
    },
}
_JINJA_TESTS: Mapping[str, Filter] = JINJA_TESTS  # type: ignore[assignment] # they are callables
TESTS: Mapping[str, Filter] = {
    **_JINJA_TESTS,
    **{name: compared(_JINJA_TESTS[name]) for name in _COMPARISONS},
    "in": within,
    WITHIN: within,
}
