"""A subscription's text into its plan: read, normalised, checked and compiled like a playbook. Nothing is activated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from noetl_stream.core.plan import Expression, Flag
from noetl_stream.core.subscription import (
    Dedup,
    Directive,
    Dispatch,
    Headers,
    Ingress,
    Number,
    Position,
    Runtime,
    Spool,
    SubscriptionPlan,
    Verification,
)
from noetl_stream.core.values import Value
from noetl_stream.dsl.auth import compile_auth
from noetl_stream.dsl.compiler import catalog_path, check_named, digest_of
from noetl_stream.dsl.document import SUBSCRIPTION
from noetl_stream.dsl.durations import compile_duration
from noetl_stream.dsl.expressions import as_number, compile_flag, compile_number, compile_value
from noetl_stream.dsl.keychain import compile_keychain, warn_unused
from noetl_stream.dsl.normalise import normalise
from noetl_stream.dsl.report import Report, Site, suggest
from noetl_stream.dsl.shapes import FLAGS
from noetl_stream.dsl.source import Node, load
from noetl_stream.dsl.templates import has_template
from noetl_stream.dsl.variables import Variables
from noetl_stream.dsl.world import world_of
from noetl_stream.errors import Problem

SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "kafka": ("topic",),
    "nats": ("stream", "subscription", "topic"),
    "pubsub": ("subscription", "topic"),
    "webhook": (),
}
"""Where messages come from, and the keys of which one says what is read there. A plugin may bring more."""
NAMES: Final = frozenset(
    {"message", "body", "data", "headers", "metadata", "payload", "subscription", "source", "keychain", "env"}
)
"""What a subscription's templates may name."""
_WITHOUT_SECRET: Final = ("oidc",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSubscription:
    """A subscription's plan, and what its author should know."""

    plan: SubscriptionPlan
    warnings: tuple[Problem, ...] = ()


def compile_subscription(
    text: str,
    *,
    file: str,
    environment: Mapping[str, str] | None = None,
    version: int = 1,
    pools: Iterable[str] | None = None,
) -> CompiledSubscription:
    """Compile a document of `kind: Subscription`. Raises InvalidPlaybook with every fault of its shape, each at its
    place; where there is none, with every other error.

    `environment` are the allow-listed variables that `${NAME}` may read. `pools` are the worker pools that exist; None
    does not check them.
    """
    report = Report()
    written = normalise(load(text, file), report)
    variables = Variables(environment=environment or {}, report=report)
    site = Site(report=report, subject="the subscription", known=NAMES)
    SUBSCRIPTION.check(variables.shaped(written), site)
    report.raise_errors()
    document = variables.replaced(written)
    check_named(document, site)
    world = world_of(document, report, {})
    keychain = compile_keychain(world)
    site = replace(site, aliases=frozenset(keychain)).at("spec")
    spec = document.mapping["spec"]
    _check_source(spec, site)
    _check_pools(spec, None if pools is None else frozenset(pools), site)
    warn_unused(document, report)
    parts = _parts(spec, site)
    report.raise_errors()
    plan = SubscriptionPlan(
        path=catalog_path(document),
        version=version,
        digest=digest_of(text),
        keychain=keychain,
        missing=frozenset(variables.missing),
        metadata=document.mapping["metadata"].plain(),
        **parts,
    )
    return CompiledSubscription(plan=plan, warnings=tuple(report.warnings))


def _parts(spec: Node, site: Site) -> dict[str, Any]:
    source = str(spec.mapping["source"].value)
    limits = _sub(spec, "limits")
    return {
        "source": source,
        "mode": spec.written("mode") or ("push" if source == "webhook" else "pull"),
        "activation": spec.written("activation") or "continuous",
        "position": Position(**{key: spec.written(key) for key in Position.__dataclass_fields__}),
        "auth": compile_auth(spec.get("auth"), site.at("auth")),
        "format": spec.written("format") or "json",
        "runtime": _runtime(_sub(spec, "runtime"), site.at("runtime")),
        "dispatch": _dispatch(spec.mapping["dispatch"], site.at("dispatch")),
        "dedup": _dedup(spec.get("dedup"), site.at("dedup")),
        "max_in_flight": _number(limits, "max_in_flight", site.at("limits")),
        "max_dispatch_per_sec": _number(limits, "max_dispatch_per_sec", site.at("limits")),
        "headers": _headers(_sub(spec, "headers"), site.at("headers")),
        "spool": _spool(spec.get("spool"), site.at("spool")),
        "ingress": _ingress(spec.get("ingress"), site.at("ingress")),
    }


def _runtime(node: Node, site: Site) -> Runtime:
    timeout = _number(node, "timeout_ms", site)
    if isinstance(timeout, Expression):
        evaluate = timeout.evaluate
        timeout = replace(timeout, evaluate=lambda scope: evaluate(scope) / 1000)
    elif timeout is not None:
        timeout /= 1000
    pool, batch = node.written("pool") or "default", _number(node, "batch", site)
    return Runtime(target=node.written("target"), pool=pool, batch=batch, timeout=timeout)


def _dispatch(node: Node, site: Site) -> Dispatch:
    said: dict[str, Any] = {"as_": node.written("as"), "ordering": node.written("ordering")}
    payload = node.get("payload_from")
    templated = payload is not None and has_template(payload.text or "")
    return Dispatch(
        playbook=str(node.mapping["playbook"].value),
        payload_from=compile_value(payload, site.at("payload_from"), strict=True)
        if payload is not None and templated
        else node.written("payload_from"),
        pool=node.written("execution_pool"),
        batched=_flag(node.get("batch_dispatch"), site.at("batch_dispatch"), default=False),
        batch_max=_number(node, "batch_max", site),
        carry=_carried(node.get("carry")),
        **{key: each for key, each in said.items() if each is not None},
    )


def _carried(node: Node | None) -> Mapping[str, str]:
    """Names of the next batch's inputs, and the results that they come from."""
    if node is None:
        return {}
    if node.is_mapping:
        return {name: str(each.value) for name, each in node.mapping.items()}
    return {name: name for name in _words(node)}


def _dedup(node: Node | None, site: Site) -> Dedup | None:
    if node is None:
        return None
    enabled = _flag(node.get("enabled"), site.at("enabled"), default=True)
    return Dedup(enabled=enabled, window=_number(node, "window_secs", site))


def _headers(node: Node, site: Site) -> Headers:
    directives, traced = node.get("directives"), node.get("trace", "propagate")
    return Headers(
        normalize=_flag(node.get("normalize"), site.at("normalize"), default=True),
        directives=tuple(_directive(each) for each in (directives.items if directives else ())),
        propagate=_flag(traced, site.at("trace.propagate"), default=False),
        baggage=_words(node.get("trace", "baggage_allowlist")),
        passthrough=_passed(node.get("passthrough"), site.at("passthrough")),
    )


def _passed(node: Node | None, site: Site) -> Flag | tuple[str, ...]:
    """All of them or none, or the names of some."""
    if node is None:
        return False
    word = "" if node.is_list else str(node.value)
    if has_template(word) or word.lower() in FLAGS:
        return _flag(node, site, default=False)
    return _words(node) or False


def _directive(node: Node) -> Directive:
    mapped = node.get("map")
    return Directive(
        header=str(node.mapping["header"].value),
        controls=str(node.mapping["controls"].value),
        allowed=_words(node.get("allowed")),
        map=mapped.plain() if mapped else {},
    )


def _spool(node: Node | None, site: Site) -> Spool | None:
    if node is None:
        return None
    words = {key: node.written(key) for key in ("mode", "backend", "bucket", "ordering", "ordering_key")}
    retention = node.get("retention")
    return Spool(
        **words,
        credential=compile_auth(node.get("credential"), site.at("credential")),
        circuit=_plain(node, "circuit"),
        retention=None if retention is None else compile_duration(retention, site.at("retention")),
        drain=_plain(node, "drain"),
    )


def _ingress(node: Node | None, site: Site) -> Ingress | None:
    if node is None:
        return None
    verify = node.get("verify")
    return Ingress(
        gateway_path=node.written("gateway_path"),
        verify=None if verify is None else _verification(verify, site.at("verify")),
    )


def _verification(node: Node, site: Site) -> Verification:
    kind: Any = node.written("type")
    secret = compile_auth(node.get("secret"), site.at("secret"))
    if not secret and kind not in _WITHOUT_SECRET:
        site.report.error(
            f"{site.what} needs a key 'secret', by which '{kind}' proves anything",
            node.place,
            "write `secret: <alias>`",
        )
    return Verification(type=kind, secret=secret, header=node.written("header"))


def _check_source(spec: Node, site: Site) -> None:
    source = spec.mapping["source"]
    keys = SOURCES.get(str(source.value))
    if keys is None:
        hint = suggest(str(source.value), SOURCES)
        site.report.warn(f"{site.at('source').what}: '{source.value}' is not known here", source.place, hint)
    elif keys and not any(spec.get(key) for key in keys):
        site.report.warn(
            f"{site.what} says nothing of what is read from {source.value}, so it cannot be activated yet",
            spec.place,
            f"write `{keys[0]}: …`",
        )
    if source.value == "webhook" and spec.get("ingress", "verify") is None:
        site.report.warn(
            f"{site.what}: anybody may push to it", source.place, "write `ingress: {verify: {type, secret}}`"
        )


def _check_pools(spec: Node, pools: frozenset[str] | None, site: Site) -> None:
    for path in (("runtime", "pool"), ("dispatch", "execution_pool")):
        named = spec.get(*path)
        if pools is None or named is None or str(named.value) in pools:
            continue
        hint = suggest(str(named.value), pools) or "add it to the setting `pools`"
        site.report.warn(
            f"{site.at('.'.join(path)).what}: there is no pool '{named.value}' yet", named.place, hint
        )


def _sub(node: Node, key: str) -> Node:
    return node.get(key) or Node({}, node.place)


def _words(node: Node | None) -> tuple[str, ...]:
    return tuple(str(each.value) for each in node.listed) if node else ()


def _plain(node: Node, key: str) -> Value:
    found = node.get(key)
    return None if found is None else found.plain()


def _flag(node: Node | None, site: Site, *, default: bool) -> Flag:
    """The default too where a variable is still missing: nothing is activated before it is there."""
    return default if node and "${" in (node.text or "") else compile_flag(node, site, default)


def _number(node: Node, key: str, site: Site) -> Number:
    found = node.get(key)
    if found is None or "${" in (found.text or ""):
        return None
    number = as_number(found.value)
    return compile_number(found, site.at(key)) if number is None else number
