"""Task policy: rules in the order they are asked, `retry` blocks as one rule before them, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from noetl_stream.core.plan import Expression, Scope
from noetl_stream.core.values import Envelope
from noetl_stream.dsl.expressions import compile_condition, compile_number, compile_value, constant
from noetl_stream.dsl.kinds import ERROR_KINDS
from noetl_stream.dsl.report import Site, suggest
from noetl_stream.dsl.schema import ACTIONS
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.tasks import Action, Backoff, Rule
from noetl_stream.dsl.templates import has_template
from noetl_stream.dsl.writes import compile_writes

ATTEMPTS = 3
"""Total tries where a rule does not say."""


def compile_rules(policy: Node | None, labels: frozenset[str], site: Site) -> tuple[Rule, ...]:
    """The rules of a policy block."""
    rules = policy.get("rules") if policy else None
    return compile_rule_list(rules, labels, site) if rules else ()


def compile_rule_list(rules: Node, labels: frozenset[str], site: Site) -> tuple[Rule, ...]:
    return tuple(
        compile_rule(rule, labels, site.at(f"rules[{index}]")) for index, rule in enumerate(rules.items)
    )


def compile_rule(rule: Node, labels: frozenset[str], site: Site) -> Rule:
    """`{when, then}`, or one of the ways to write `else`."""
    when = rule.get("when")
    if when is None and "else" not in rule.mapping:
        site.report.error(f"{site.subject}: a rule has `when` or `else`", rule.place)
    then = outcome_of(rule)
    action = _action(then)
    if action == "jump":
        _check_jump(then, labels, site)
    writes = then.get("set")
    return Rule(
        when=compile_condition(when, site.at("when")) if when else None,
        do=action,
        to=text.text if (text := then.get("to")) else None,
        writes=compile_writes(writes, site.at("set")) if writes else None,
        **_numbers(then, "attempts", site),
    )


def outcome_of(rule: Node) -> Node:
    """The `then` of a rule, however its `else` is written."""
    otherwise = rule.get("else")
    return (
        rule.get("then")
        or (otherwise and (otherwise.get("then") or otherwise))
        or rule.without(*rule.mapping)
    )


def _action(then: Node) -> Action:
    word = str(node.value) if (node := then.get("do")) else "continue"
    return cast(Action, word if word in ACTIONS else "fail")


def _numbers(block: Node, attempts: str, site: Site) -> Mapping[str, Any]:
    tries, backoff, delay = block.get(attempts), block.get("backoff"), block.get("delay")
    kind = cast(Backoff, str(backoff.value) if backoff else "fixed")
    return {
        "attempts": compile_number(tries, site.at(attempts)) if tries else constant(ATTEMPTS),
        "delay": compile_number(delay, site.at("delay")) if delay else constant(0 if kind == "fixed" else 1),
        "backoff": kind,
    }


def _check_jump(then: Node, labels: frozenset[str], site: Site) -> None:
    to = then.get("to")
    if to is None:
        site.report.error(f"{site.subject}: `jump` needs `to`, a task's name", then.place)
    elif to.text not in labels:
        hint = suggest(str(to.value), labels)
        site.report.error(f"{site.subject}: `jump` to '{to.value}', which is no task here", to.place, hint)


def compile_retry(retry: Node, site: Site) -> Rule:
    """A `retry` block: one rule that holds for the error kinds or statuses it names, or for any error."""
    block = retry if retry.is_mapping else retry.with_entries({"max_attempts": retry})
    site = site.at("retry")
    on, on_status = block.get("retry_on"), block.get("retry_on_status")
    kinds = [_error_kind(each, site.at("retry_on")) for each in (on.listed if on else ())]
    statuses = [
        compile_number(each, site.at("retry_on_status")) for each in (on_status.listed if on_status else ())
    ]
    when = _error_is(kinds, statuses, whichever=on is None and on_status is None)
    return Rule(when=when, do="retry", **_numbers(block, "max_attempts", site))


def _error_kind(node: Node, site: Site) -> Expression:
    if not has_template(node.text or "") and node.value not in ERROR_KINDS:
        hint = suggest(str(node.value), ERROR_KINDS)
        site.report.warn(f"{site.what}: no error is of the kind '{node.value}'", node.place, hint)
    return compile_value(node, site, strict=True)


def _error_is(kinds: list[Expression], statuses: list[Expression], *, whichever: bool) -> Expression:
    def evaluate(scope: Scope) -> bool:
        output = scope["output"]
        fields = output.fields if isinstance(output, Envelope) else output
        error = fields.get("error")
        if fields.get("status") != "error" or error is None:
            return False
        named = error.get("kind") in (kind.evaluate(scope) for kind in kinds)
        told = error.get("status") in (status.evaluate(scope) for status in statuses)
        return named or told or whichever

    named = frozenset().union(*(each.reads for each in (*kinds, *statuses)))
    text = ", ".join(each.text for each in (*kinds, *statuses)) or ("any error" if whichever else "none")
    return Expression(evaluate=evaluate, reads=named | {("output", "error")}, text=f"retry on {text}")
