"""The one template engine: Jinja in an immutable sandbox without attributes, chance, clocks or unbounded work.

A template is bounded by operations and sizes, never by time, so that it yields the same everywhere, for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from jinja2 import Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from noetl_stream.core.names import DRAWN
from noetl_stream.core.plan import Scope
from noetl_stream.dsl import lookup
from noetl_stream.dsl.generator import Generator
from noetl_stream.dsl.limits import LIMITS, LimitExceeded, bounded_join, check_bits, check_items, check_text
from noetl_stream.dsl.lookup import scalar
from noetl_stream.dsl.metering import FILTERS, TESTS
from noetl_stream.dsl.native import native, solid
from noetl_stream.dsl.sizes import weight, written_values

CALL = 25
"""Operations of a call: a macro's costs more than a filter."""
PATTERN = 500
"""Operations of compiling a regular expression."""
BITS = 2**21
"""Pairs of bits that are multiplied in one operation."""


class Evaluation(Context):
    """One run of a template over a scope, with its budget of operations."""

    def __init__(self, environment: Sandbox, scope: Scope) -> None:
        self.parent = {}
        self.vars = {}
        self.environment = environment
        self.eval_ctx = environment.eval_context
        self.exported_vars = set()
        self.name = None
        self.globals_keys = set()
        self.blocks = {}
        self._scope = scope
        self._left = LIMITS.operations
        self._patterns: set[str] = set()

    def resolve_or_missing(self, key: str) -> Any:
        try:
            return self._scope[key]
        except KeyError:
            return self.environment.globals.get(key, missing)

    def weigh(self, value: Any) -> int:
        """Charge for comparing a value to its depths; returns the operations that are."""
        operations = weight(value, self._left)
        self.charge(operations)
        return operations

    def measure(self, value: Any) -> None:
        """Charge for writing a value out. Raises LimitExceeded if that is too much text."""
        self.charge(written_values(value) // 2)

    def compiles(self, pattern: str) -> None:
        """Charge for a pattern, once: whether another evaluation compiled it already must not matter."""
        if pattern not in self._patterns:
            self._patterns.add(pattern)
            self.charge(PATTERN)

    def sized(self, value: Any) -> Any:
        """A slice, charged for what was copied."""
        self.charge(len(value) // 8 if hasattr(value, "__len__") else 1)
        return value

    def is_drawn(self, value: Any) -> bool:
        """Whether this is one of the scope's functions."""
        return any(value is self._scope.get(name, missing) for name in DRAWN)

    def charge(self, operations: int) -> None:
        """Raises LimitExceeded once the budget is used up."""
        self._left -= operations
        if self._left < 0:
            raise LimitExceeded(f"it takes more than {LIMITS.operations} operations")


@pass_context
def written(context: Evaluation, value: Any) -> str:
    """How a value stands in text: undefined is empty, everything else as `str` writes it."""
    if isinstance(value, Undefined):
        return ""
    if type(value) is str:
        text = value
    else:
        context.measure(value)
        text = str(solid(native(value)))
    context.charge(len(text) // 64)
    return text


def bounded_range(*bounds: int) -> range:
    """`range`, of a bounded length."""
    numbers = range(*bounds)
    check_items(len(numbers))
    return numbers


@pass_context
def mapping(context: Evaluation, *pairs: Any, **more: Any) -> dict[Any, Any]:
    """`dict`, charged for what it copies."""
    if len(pairs) > 1:
        raise TypeError("`dict` takes one mapping, or one list of pairs")
    given = [pair for each in pairs for pair in (each.items() if isinstance(each, Mapping) else each)]
    context.charge(len(given) + len(more))
    return {**{scalar(key): value for key, value in given}, **more}


@pass_context
def namespace(context: Evaluation, *pairs: Any, **more: Any) -> Namespace:
    """Jinja's, charged likewise."""
    return Namespace(mapping(context, *pairs, **more))


class Sandbox(ImmutableSandboxedEnvironment):
    """Where templates are compiled and run. Values have keys and indexes, no attributes; nothing of theirs is called."""

    code_generator_class = Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=lookup.Nothing,
            finalize=written,
            optimized=False,
            cache_size=0,
            keep_trailing_newline=True,
        )
        self.globals = {"range": bounded_range, "dict": mapping, "namespace": namespace}
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.eval_context = EvalContext(self)

    read = staticmethod(lambda value, keys: lookup.plain(lookup.follow(value, keys)))
    keep = staticmethod(lambda value, keys: lookup.whole(lookup.follow(value, keys)))
    plain = staticmethod(lookup.plain)
    whole = staticmethod(lookup.whole)
    scalar = staticmethod(lookup.scalar)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return lookup.plain(lookup.follow(obj, (attribute,)))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return lookup.plain(lookup.follow(obj, (scalar(argument),)))

    def concat(self, parts: Iterable[str]) -> str:
        """Join bounded text: what macros, captures and `~` build."""
        return bounded_join(parts)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a built-in or a drawn name; which ones may stand there was checked when compiled."""
        assert isinstance(context, Evaluation)
        context.charge(CALL + (len(args) + len(kwargs)) // 8)
        if not self._may_call(context, obj):
            raise SecurityError("a value cannot be called; use a filter")
        if _is_of_loop(obj):
            context.weigh(args)
        result = context.call(obj, *args, **kwargs)
        return check_text(result) if isinstance(obj, Macro) else result

    def _may_call(self, context: Evaluation, obj: Any) -> bool:
        return (
            isinstance(obj, Macro)
            or any(obj is each for each in self.globals.values())
            or _is_of_loop(obj)
            or context.is_drawn(obj)
        )

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        assert isinstance(context, Evaluation)
        match operator:
            case "+" if _is_sized(left) and _is_sized(right):
                context.charge((len(left) + len(right)) // (64 if isinstance(left, str) else 8))
                check_items(len(left) + len(right), text=isinstance(left, str))
            case "*":
                _check_product(context, left, right)
            case "**":
                _check_power(left, right)
            case "%" if isinstance(left, str | bytes):
                raise SecurityError("text is not formatted with `%`; use `~` or a template's own text")
        return super().call_binop(context, operator, left, right)


def _is_of_loop(called: Any) -> bool:
    return isinstance(getattr(called, "__self__", None), LoopContext)


def _is_sized(value: Any) -> bool:
    return isinstance(value, str | list | tuple)


def _check_product(context: Evaluation, left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        if _is_sized(sequence) and isinstance(times, int):
            size = len(sequence) * max(times, 0)
            check_items(size, text=isinstance(sequence, str))
            context.charge(context.weigh(sequence) * max(times, 0))
            context.charge(size // (64 if isinstance(sequence, str) else 8))
    if isinstance(left, int) and isinstance(right, int):
        check_bits(left.bit_length() + right.bit_length())
        context.charge(left.bit_length() * right.bit_length() // BITS)


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        check_bits(left.bit_length() * max(right, 0))


@cache
def sandbox() -> Sandbox:
    """The engine. One for the process: it holds no state but compiled filters."""
    return Sandbox()
