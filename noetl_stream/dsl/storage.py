"""Where a result is to be kept and what of it stays at hand (dsl: storage), from a step's `result` or a task's `output`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from noetl_stream.core.plan import Expression, Path
from noetl_stream.dsl.durations import compile_duration
from noetl_stream.dsl.expressions import as_number, compile_number, constant
from noetl_stream.dsl.report import Site
from noetl_stream.dsl.source import Node

Store: TypeAlias = Literal["auto", "kv", "disk", "s3", "gcs", "object", "log"]

STRATEGIES = ("auto", "size", "threshold")
"""Strategies of `output_select` that mean what happens anyway: large results are kept apart."""
SCOPE = "execution"
"""What a result belongs to."""
_SEGMENT = re.compile(r"[^.\[\]]+")
_OUTPUT = frozenset({"$", "output", "result", "response"})
"""What a path may begin with to say that it is one below the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A value below a result that stays at hand as its key `name`."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Which store, what is selected, and from how many bytes on (`inline` yields them) a result is kept apart.

    `bucket` and `prefix` tell one store of a kind from another. `ttl` yields the seconds after which what is kept apart
    may go.
    """

    kind: Store = "auto"
    select: tuple[Selection, ...] = ()
    inline: Expression | None = None
    ttl: Expression | None = None
    bucket: str | None = None
    prefix: str | None = None
    place: str = ""

    def over(self, inner: Storage | None) -> Storage:
        """A step's storage laid over its last task's."""
        if inner is None:
            return self
        return replace(
            inner,
            kind=inner.kind if self.kind == "auto" else self.kind,
            select=(*self.select, *inner.select),
            inline=self.inline or inner.inline,
            ttl=self.ttl or inner.ttl,
            bucket=self.bucket or inner.bucket,
            prefix=self.prefix or inner.prefix,
        )


def compile_storage(node: Node | None, output_select: Node | None, site: Site) -> Storage | None:
    """A storage block whose shape has been checked, with a task's own `output_select` beside it."""
    if node is None and output_select is None:
        return None
    chosen = output_select or (node.get("output_select") if node else None)
    _check_scope(node, site)
    select = node.get("select") if node else None
    inline = node.get("inline_max_bytes") if node else None
    return Storage(
        kind=_store(node),
        select=(*_selections(select), *_fields(chosen)),
        inline=compile_number(inline, site.at("inline_max_bytes")) if inline else _threshold(chosen, site),
        ttl=_ttl(node, site),
        bucket=node.written("store", "bucket") if node else None,
        prefix=node.written("store", "prefix") if node else None,
        place=site.subject,
    )


def _check_scope(node: Node | None, site: Site) -> None:
    scope = node.get("scope") if node else None
    if scope is not None and scope.text != SCOPE:
        site.report.warn(
            f"{site.at('scope').what} is '{scope.value}', but every result is its execution's own",
            scope.place,
            f"write `scope: {SCOPE}`",
        )


def _ttl(node: Node | None, site: Site) -> Expression | None:
    ttl = node.get("store", "ttl") if node else None
    found = None if ttl is None else compile_duration(ttl, site.at("store.ttl"))
    return constant(found) if isinstance(found, float) else found


def _store(node: Node | None) -> Store:
    store = node.get("store") if node else None
    kind = store.get("kind") if store is not None and store.is_mapping else store
    if kind:
        return cast(Store, str(kind.value))
    return "log" if node and node.get("durable") else "auto"


def _selections(node: Node | None) -> Iterator[Selection]:
    for each in node.items if node else ():
        written, name = (each.get("path"), each.get("as")) if each.is_mapping else (each, None)
        path = path_of(str(written.value)) if written else ()
        if path or name:
            yield Selection(name=str(name.value) if name else path[-1], path=path)


def _fields(node: Node | None) -> Iterator[Selection]:
    """`output_select: [fields]`."""
    for each in node.items if node else ():
        path = path_of(str(each.value))
        if path:
            yield Selection(name=path[-1], path=path)


def path_of(text: str) -> Path:
    """`$.data.items[0].id`, `output.data.id` or `{{ result.id }}` as a path below the result."""
    segments = _SEGMENT.findall(text.strip().removeprefix("{{").removesuffix("}}").replace("'", "").strip())
    while segments and segments[0] in _OUTPUT:
        segments = segments[1:]
    return tuple(segment.strip('"') for segment in segments)


def _threshold(node: Node | None, site: Site) -> Expression | None:
    """`output_select: {strategy, threshold_kb}`."""
    if node is None or not node.is_mapping:
        return None
    strategy, limit = node.get("strategy"), node.get("threshold_kb")
    if strategy is not None and strategy.text not in STRATEGIES:
        site.report.warn(
            f"{site.subject}: the strategy '{strategy.value}' of `output_select` is kept, but nothing acts on it",
            strategy.place,
            "name the fields: `output_select: [field, …]`",
        )
    if limit is None:
        return None
    kib = as_number(limit.value)
    if kib is not None:
        return constant(kib * 1024)
    number = compile_number(limit, site.at("threshold_kb"))
    return replace(number, evaluate=lambda scope: number.evaluate(scope) * 1024)
