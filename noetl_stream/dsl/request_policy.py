"""The document's `policy` into a typed value: strict about what it means, so that whoever enforces it need not ask again."""

from __future__ import annotations

import re
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from noetl_stream.core.plan import Expression, Flag
from noetl_stream.core.policy import Access, Audit, Concurrency, Contract, Policy, Rate, Replay, Schedule
from noetl_stream.dsl.document import RATE, RETENTION
from noetl_stream.dsl.durations import UNITS, duration
from noetl_stream.dsl.expressions import as_number, compile_number, compile_value, constant
from noetl_stream.dsl.inputs import compile_input_flag, inputs_site
from noetl_stream.dsl.report import Report, Site, suggest
from noetl_stream.dsl.shapes import Keys
from noetl_stream.dsl.source import Node
from noetl_stream.dsl.templates import has_template, truth

ALL = "all"
"""What a bare `retention` retains."""
EVERYTHING: Final = ("full", ALL)
"""Levels of an audit that leave nothing out."""
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/|per)\s*(\w+)", re.IGNORECASE)
_WORDS: Final = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d"}
_FIELD: Final = re.compile(r"[\w*/,\-?#]+")
_NAMED: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_HOST: Final = re.compile(r"(\*|(\*\.)?[\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")


def compile_policy(document: Node, report: Report) -> Policy:
    """All of it but `retry`, `on_failure` and `deadline`. What is malformed is reported and left out."""
    policy = document.get("policy")
    site = inputs_site(document, report, "the playbook").at("policy")
    if policy is None or not policy.is_mapping:
        return Policy()
    network = policy.get("network")
    return Policy(
        access=_access(policy.get("access")),
        audit=_audit(policy.get("audit"), site.at("audit")),
        replay=_replay(policy.get("replay"), site.at("replay")),
        contract=_contract(policy.get("schema")),
        concurrency=_concurrency(policy.get("concurrency"), site.at("concurrency")),
        rate=_rate(policy.get("rate"), site.at("rate")),
        retention=_retention(policy.get("retention"), site.at("retention")),
        schedule=_schedules(policy.get("schedule"), site.at("schedule")),
        hosts=None if network is None else _hosts(network.get("allow"), site.at("network.allow")),
    )


def _access(node: Node | None) -> Access | None:
    return None if node is None else Access(roles=_words(node, "roles"), tenants=_words(node, "tenants"))


def _audit(node: Node | None, site: Site) -> Audit | None:
    if node is None:
        return None
    level, retain = node.get("level"), node.get("retain")
    if level is not None and level.text not in EVERYTHING:
        site.report.warn(
            f"{site.at('level').what} is '{level.value}', but the log records everything, whatever the level",
            level.place,
            "write `level: full`",
        )
    return Audit(
        level=node.written("level"),
        retain=None if retain is None else duration(retain, site.at("retain")),
        encrypt=_words(node, "encrypt"),
    )


def _replay(node: Node | None, site: Site) -> Replay | None:
    if node is None:
        return None
    record = node.get("record")
    if record is not None and not _is_all(record):
        site.report.warn(
            f"{site.at('record').what} leaves something out, but the log records everything: the state is folded from it",
            record.place,
            "write `record: true`",
        )
    return Replay(
        record=_record(record, site.at("record")),
        deterministic=compile_input_flag(node.get("deterministic"), site.at("deterministic"), default=False),
    )


def _record(node: Node | None, site: Site) -> Flag | tuple[str, ...]:
    if node is not None and (node.is_list or (truth(node.value) and _is_word(node))):
        return tuple(str(each.value) for each in node.listed)
    return compile_input_flag(node, site, default=True)


def _is_all(record: Node) -> bool:
    return not record.is_list and truth(record.value) and not _is_word(record)


def _is_word(node: Node) -> bool:
    text = node.text
    return text is not None and not has_template(text) and text.lower() not in ("true", "yes", "on", "1", ALL)


def _contract(node: Node | None) -> Contract | None:
    if node is None:
        return None
    drift = node.get("on_drift")
    return Contract(
        input=found.plain() if (found := node.get("input")) and found.is_mapping else {},
        output=found.plain() if (found := node.get("output")) and found.is_mapping else {},
        on_drift=cast(Any, str(drift.value)) if drift else "fail",
    )


def _concurrency(node: Node | None, site: Site) -> Concurrency | None:
    if node is None:
        return None
    most, on_limit = node.get("max"), node.get("on_limit")
    return Concurrency(
        max=_count(most, site.at("max")) if most else constant(1),
        key=_key(node, site),
        on_limit=cast(Any, str(on_limit.value)) if on_limit else "queue",
    )


def _rate(node: Node | None, site: Site) -> Rate | None:
    """A number (per second), text like `5/s` or `100 per minute`, or `{max, per, key}`."""
    match node:
        case None:
            return None
        case Node(value=dict()):
            most, per = node.get("max"), node.get("per")
            _warn_unknown(node, RATE, site)
            length = 1.0 if per is None else _period(per, site.at("per"))
            if most is None or length is None:
                return None
            return Rate(max=_count(most, site.at("max")), per=length, key=_key(node, site))
        case Node(value=str() as text) if found := _RATE.fullmatch(text.strip()):
            length = _period(Node(found[2], node.place), site)
            return None if length is None else Rate(max=constant(as_number(found[1])), per=length)
        case _:
            return Rate(max=_count(node, site))


def _warn_unknown(node: Node, known: Keys, site: Site) -> None:
    """Keys that the language does not speak of are kept nowhere, and said so."""
    for name in node.mapping.keys() - known.keys.keys():
        site.report.warn(
            f"{site.what} knows no key '{name}'", node.key_place(name), suggest(name, known.keys)
        )


def _period(node: Node, site: Site) -> float | None:
    """The seconds of a period: `minute`, `m`, `15m`, or a number of them."""
    word = str(node.value).strip().lower()
    unit = _WORDS.get(word.removesuffix("s") if len(word) > 1 else word, word)
    return float(UNITS[unit]) if unit in UNITS else duration(node, site)


def _count(node: Node, site: Site) -> Expression:
    number = as_number(node.value)
    if number is not None and number < 0:
        site.report.error(f"{site.what} is not less than 0", node.place)
    return compile_number(node, site)


def _key(node: Node, site: Site) -> Expression | None:
    key = node.get("key")
    return None if key is None else compile_value(key, site.at("key"), strict=True)


def _retention(node: Node | None, site: Site) -> dict[str, float]:
    if node is None:
        return {}
    parts = node.mapping if node.is_mapping else {ALL: node}
    _warn_unknown(node, RETENTION, site)
    found = {
        name: duration(each, site.at(name) if node.is_mapping else site)
        for name, each in parts.items()
        if each.value is not None
    }
    return {name: length for name, length in found.items() if length is not None}


def _schedules(node: Node | None, site: Site) -> tuple[Schedule, ...]:
    listed = node.listed if node else []
    return tuple(_schedule(each, site.item(index)) for index, each in enumerate(listed) if each.get("cron"))


def _schedule(node: Node, site: Site) -> Schedule:
    cron, zone = node.mapping["cron"], node.get("timezone")
    text = str(cron.value).strip()
    if text not in _NAMED and not (len(text.split()) in (5, 6) and all(map(_FIELD.fullmatch, text.split()))):
        site.report.error(
            f"{site.at('cron').what} is five fields, as in '0 6 * * 1-5', not '{text}'", cron.place
        )
    if zone is not None and not _is_zone(str(zone.value)):
        site.report.warn(f"{site.at('timezone').what} is '{zone.value}', which is unknown here", zone.place)
    return Schedule(
        cron=text,
        timezone=str(zone.value) if zone else "UTC",
        catchup=compile_input_flag(node.get("catchup"), site.at("catchup"), default=False),
    )


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return True


def _hosts(node: Node | None, site: Site) -> tuple[str, ...]:
    """Hosts in lower case; a URL stands for its host."""
    return tuple(_host(each, site) for each in (node.listed if node else ()))


def _host(node: Node, site: Site) -> str:
    text = str(node.value).strip().lower()
    if has_template(text):
        site.report.error(f"{site.what}: a host is named literally", node.place)
    host = text.partition("://")[2].partition("/")[0] if "://" in text else text
    if not has_template(text) and not _HOST.fullmatch(host):
        site.report.error(
            f"{site.what} is a host, as in 'api.example' or '*.example:443', not '{text}'", node.place
        )
    return host


def _words(node: Node, key: str) -> tuple[str, ...]:
    found = node.get(key)
    return () if found is None else tuple(str(each.value) for each in found.listed)
