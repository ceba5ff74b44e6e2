"""What concerns a whole execution and is settled at its start: it may read the inputs, and nothing that happens later."""

from __future__ import annotations

from noetl_stream.core.names import LAST, UNSHADOWABLE
from noetl_stream.core.plan import Count, Expression, Flag
from noetl_stream.dsl.expressions import as_number, compile_flag, compile_number
from noetl_stream.dsl.report import Report, Site
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template
from noetl_stream.dsl.world import SECRET


def inputs_site(document: Node, report: Report, subject: str) -> Site:
    """Where inputs are known, and what a start knows beside them."""
    workload = document.get("workload")
    names = {*UNSHADOWABLE, *LAST, *(workload.mapping if workload else ())}
    return Site(report=report, subject=subject, known=frozenset(names), hidden=SECRET)


def compile_count(node: Node | None, site: Site, default: int) -> Count:
    """A whole number from 1, or an expression for one that reads inputs alone. `site` is one of inputs."""
    if node is None:
        return default
    if has_template(node.text or ""):
        return of_inputs(compile_number(node, site), node, site)
    number = as_number(node.value)
    if not isinstance(number, int) or number < 1:
        if number is None and site.report.told(node.place):
            return default
        site.report.error(f"{site.what} is a whole number from 1, not {node.value!r:.40}", node.place)
        return default
    return number


def compile_input_flag(node: Node | None, site: Site, default: bool) -> Flag:
    """A boolean, or an expression for one that reads inputs alone. `site` is one of inputs."""
    flag = compile_flag(node, site, default)
    return flag if node is None or isinstance(flag, bool) else of_inputs(flag, node, site)


def of_inputs(compiled: Expression, node: Node, site: Site) -> Expression:
    """The expression; what it reads of later than the inputs is reported."""
    later = {path[0] for path in compiled.reads} & ({*UNSHADOWABLE, *LAST} - {"workload"})
    if later:
        site.report.error(
            f"{site.what} reads '{min(later)}', but it may read inputs alone",
            node.place,
            "take it from `workload`",
        )
    return compiled
