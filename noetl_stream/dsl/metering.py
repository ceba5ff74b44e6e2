"""Which filters there are; each is charged for the size of what it is given and bounded in what it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from itertools import islice
from typing import Any, Final

from jinja2.filters import FILTERS as JINJA
from jinja2.utils import pass_context

from noetl_stream.dsl import filters, regex
from noetl_stream.dsl.limits import LIMITS, check_items, check_text

Filter = Callable[..., Any]

EACH: Final = "_each"
"""The filter put around whatever a `for` goes over."""

_REFUSED = frozenset({"attr", "format", "pprint", "random"})
"""Jinja's filters that reach into objects, size their output by their input, or draw by chance."""

_OURS: Mapping[str, Filter] = {
    EACH: lambda value: value,
    "b64decode": filters.b64_decode,
    "b64encode": filters.b64_encode,
    "batch": filters.batch,
    "center": filters.center,
    "fromjson": filters.from_json,
    "get": filters.get,
    "indent": filters.indent,
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
    "sum": filters.total,
    "todatetime": filters.to_datetime,
    "tojson": filters.json_text,
    "values": filters.values,
    "wordwrap": filters.wordwrap,
}


def metered(function: Filter) -> Filter:
    """The filter with its meter."""
    passes = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @wraps(function)
    def run(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        context.charge(len(value) + 1 if hasattr(value, "__len__") else 1)
        return _bounded(context, function(*_lead(passes, context), value, *args, **kwargs))

    return pass_context(run)


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
        made = list(islice(made, LIMITS.items + 1))
        context.charge(len(made))
    if isinstance(made, list):
        check_items(len(made))
    return check_text(made)


FILTERS: Mapping[str, Filter] = {
    name: metered(function) for name, function in {**JINJA, **_OURS}.items() if name not in _REFUSED
}
