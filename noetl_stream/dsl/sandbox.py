"""The one template engine: Jinja in an immutable sandbox without attributes, chance, clocks or unbounded work.

A template is bounded by operations and sizes, never by time, so that it yields the same everywhere, for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from noetl_stream.dsl.limits import LIMITS, LimitExceeded, check_items, check_text
from noetl_stream.dsl.metering import FILTERS, TESTS
from noetl_stream.dsl.native import native, solid


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

    def resolve_or_missing(self, key: str) -> Any:
        try:
            return self._scope[key]
        except KeyError:
            return self.environment.globals.get(key, missing)

    def weigh(self, value: Any) -> int:
        """Charge for comparing a value to its depths; returns how many values it holds, in eighths."""
        weight, pending = 1, [value]
        while pending:
            each = pending.pop()
            if isinstance(each, dict):
                pending.extend(each.values())
                weight += len(each)
            elif isinstance(each, list | tuple):
                pending.extend(each)
                weight += len(each)
            elif isinstance(each, str):
                weight += len(each) // 32
            if weight // 8 > self._left:
                break
        self.charge(weight // 8)
        return weight // 8

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
    text = value if type(value) is str else str(solid(native(value)))
    context.charge(len(text) // 64)
    return text


def bounded_range(*bounds: int) -> range:
    """`range`, of a bounded length."""
    numbers = range(*bounds)
    check_items(len(numbers))
    return numbers


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
        self.globals = {"range": bounded_range, "dict": dict, "namespace": Namespace}
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.eval_context = EvalContext(self)

    read = staticmethod(lambda value, keys: lookup.plain(lookup.follow(value, keys)))
    keep = staticmethod(lambda value, keys: lookup.whole(lookup.follow(value, keys)))
    plain = staticmethod(lookup.plain)
    whole = staticmethod(lookup.whole)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return lookup.plain(lookup.follow(obj, (attribute,)))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return lookup.plain(lookup.follow(obj, (argument,)))

    def concat(self, parts: Iterable[str]) -> str:
        """Join bounded text: what macros, captures and `~` build."""
        return bounded_join(parts)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a built-in or a drawn name; which ones may stand there was checked when compiled."""
        assert isinstance(context, Evaluation)
        context.charge(1)
        if not self._may_call(context, obj):
            raise SecurityError("a value cannot be called; use a filter")
        result = context.call(obj, *args, **kwargs)
        return check_text(result) if isinstance(obj, Macro) else result

    def _may_call(self, context: Evaluation, obj: Any) -> bool:
        return (
            isinstance(obj, Macro)
            or any(obj is each for each in self.globals.values())
            or isinstance(getattr(obj, "__self__", None), LoopContext)
            or context.is_drawn(obj)
        )

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        assert isinstance(context, Evaluation)
        match operator:
            case "+" if _is_sized(left) and _is_sized(right):
                context.charge((len(left) + len(right)) // 64)
                check_items(len(left) + len(right), text=isinstance(left, str))
            case "*":
                _check_product(context, left, right)
            case "**":
                _check_power(left, right)
            case "%" if isinstance(left, str | bytes):
                raise SecurityError("text is not formatted with `%`; use `~` or a template's own text")
        return super().call_binop(context, operator, left, right)


def bounded_join(parts: Iterable[str]) -> str:
    """Join text. Raises LimitExceeded as soon as it is too long."""
    found: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        check_items(size, text=True)
        found.append(part)
    return "".join(found)


def _is_sized(value: Any) -> bool:
    return isinstance(value, str | list | tuple)


def _check_product(context: Evaluation, left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        if _is_sized(sequence) and isinstance(times, int):
            check_items(len(sequence) * max(times, 0), text=isinstance(sequence, str))
            context.charge(context.weigh(sequence) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(right, 0))


def _check_bits(bits: int) -> None:
    if bits > LIMITS.bits:
        raise LimitExceeded(f"it computes an integer of more than {LIMITS.bits} bits")


@cache
def sandbox() -> Sandbox:
    """The engine. One for the process: it holds no state but compiled filters."""
    return Sandbox()
