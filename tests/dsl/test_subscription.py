"""Subscriptions: every key into a plan, what is wrong or missing said at its place, nothing activated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from noetl_stream.core.plan import Expression
from noetl_stream.core.subscription import Dedup, Directive, Position, SubscriptionPlan
from noetl_stream.dsl.documents import compile_document
from noetl_stream.dsl.subscription import CompiledSubscription, compile_subscription
from noetl_stream.errors import InvalidPlaybook
from tests.dsl.kinds import HEAD, KINDS

SHORT = "{source: kafka, topic: t, dispatch: {playbook: p}}"
CANARY = "canary-5up3r-s3cr3t"


def subscribed(
    spec: str = SHORT, *, version: str = "v2", more: str = "", **given: Any
) -> CompiledSubscription:
    head = f"apiVersion: noetl.io/{version}\nkind: Subscription\nmetadata: {{name: orders}}\n{more}"
    return compile_subscription(f"{head}spec: {spec}\n", file="orders.yaml", **given)


def plan(spec: str = SHORT, **given: Any) -> SubscriptionPlan:
    return subscribed(spec, **given).plan


def said(spec: str, **given: Any) -> list[str]:
    """The warnings of a document, or its errors."""
    try:
        return [str(each) for each in subscribed(spec, **given).warnings]
    except InvalidPlaybook as error:
        return [str(each) for each in error.problems]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_shortest_one_has_defaults(version: str) -> None:
    found = plan(version=version)

    assert (found.path, found.version, found.source, found.mode) == ("orders", 1, "kafka", "pull")
    assert (found.activation, found.format, found.runtime.pool) == ("continuous", "json", "default")
    assert found.position == Position(topic="t")
    assert (found.dispatch.playbook, found.dispatch.as_, found.dispatch.ordering) == ("p", "messages", "none")
    assert (found.dedup, found.spool, found.ingress) == (None, None, None)


@pytest.mark.parametrize("key", ["name", "path"])
def test_one_without_a_name_is_told(key: str) -> None:
    metadata = "name: ' '" if key == "name" else "name: orders, path: ' '"
    text = f"apiVersion: noetl.io/v2\nkind: Subscription\nmetadata: {{{metadata}}}\nspec: {SHORT}\n"

    with pytest.raises(InvalidPlaybook, match=f"key 'metadata.{key}' of the subscription is empty"):
        compile_subscription(text, file="orders.yaml")


EVERY_KEY = """
  source: nats
  mode: push
  activation: continuous
  auth: nats_login
  stream: orders
  consumer: c
  group: g
  format: avro
  runtime: {target: worker, pool: readers, batch: "500", timeout_ms: 250}
  dispatch: {playbook: load, payload_from: message.data, execution_pool: heavy, batch_dispatch: true, batch_max: 10,
    as: frame, ordering: per_key, carry: {sum: total}}
  dedup: {enabled: true, window_secs: 60}
  limits: {max_in_flight: 8, max_dispatch_per_sec: 2.5}
  headers:
    normalize: false
    directives: [{header: x-pool, controls: execution_pool, allowed: [heavy, light], map: {h: heavy}}]
    trace: {propagate: true, baggage_allowlist: [tenant]}
    passthrough: [x-id]
  spool: {mode: always, backend: s3, bucket: b, credential: s3_login, ordering: per_key, ordering_key: id,
    circuit: {failures: 5}, retention: 7d, drain: {rate: 10}}
  ingress: {gateway_path: /in, verify: {type: hmac_sha256, secret: hook, header: x-signature}}
"""


def test_every_key_is_read() -> None:
    found = plan(EVERY_KEY)

    assert (found.source, found.mode, found.format) == ("nats", "push", "avro")
    assert found.position == Position(stream="orders", consumer="c", group="g")
    assert [each.name for each in found.auth] == ["nats_login"]
    assert (found.runtime.target, found.runtime.pool) == ("worker", "readers")
    assert (found.runtime.batch, found.runtime.timeout) == (500, 0.25)
    assert found.dispatch.payload_from == "message.data"
    assert (found.dispatch.pool, found.dispatch.batched, found.dispatch.batch_max) == ("heavy", True, 10)
    assert (found.dispatch.as_, found.dispatch.ordering) == ("frame", "per_key")
    assert found.dispatch.carry == {"sum": "total"}
    assert found.dedup == Dedup(enabled=True, window=60)
    assert (found.max_in_flight, found.max_dispatch_per_sec) == (8, 2.5)


def test_every_key_about_headers_spool_and_ingress_is_read() -> None:
    found = plan(EVERY_KEY)

    assert found.headers.directives == (
        Directive(header="x-pool", controls="execution_pool", allowed=("heavy", "light"), map={"h": "heavy"}),
    )
    assert (found.headers.normalize, found.headers.propagate) == (False, True)
    assert (found.headers.baggage, found.headers.passthrough) == (("tenant",), ("x-id",))
    assert found.spool is not None
    assert (found.spool.mode, found.spool.backend, found.spool.bucket) == ("always", "s3", "b")
    assert (found.spool.retention, found.spool.circuit, found.spool.drain) == (
        604_800,
        {"failures": 5},
        {"rate": 10},
    )
    assert [each.name for each in found.spool.credential] == ["s3_login"]
    assert found.ingress is not None
    assert found.ingress.verify is not None
    assert (found.ingress.gateway_path, found.ingress.verify.header) == ("/in", "x-signature")
    assert [each.name for each in found.ingress.verify.secret] == ["hook"]


def test_numbers_and_payloads_may_be_templates() -> None:
    found = plan(
        "{source: kafka, topic: t, runtime: {timeout_ms: '{{ 500 * 2 }}'}, "
        "dispatch: {playbook: p, payload_from: '{{ message.data }}'}}"
    )

    assert isinstance(found.runtime.timeout, Expression)
    assert found.runtime.timeout.evaluate({}) == 1.0
    assert isinstance(found.dispatch.payload_from, Expression)
    assert found.dispatch.payload_from.evaluate({"message": {"data": {"x": 1}}}) == {"x": 1}


@pytest.mark.parametrize(
    ("written", "dedup"),
    [
        ("{enabled: false, window_secs: 60}", Dedup(enabled=False, window=60)),
        ("{window_secs: 60}", Dedup(window=60)),
        ("{enabled: 'on'}", Dedup()),
    ],
)
def test_a_dedup_is_on_unless_it_is_switched_off(written: str, dedup: Dedup) -> None:
    assert plan(f"{{source: kafka, topic: t, dispatch: {{playbook: p}}, dedup: {written}}}").dedup == dedup


@pytest.mark.parametrize(("said", "flag"), [("off", False), ("yes", True), (False, False), (True, True)])
def test_flags_may_be_templates(said: str | bool, flag: bool) -> None:
    """Text that says no is no, wherever it comes from."""
    found = plan(
        "{source: kafka, topic: t, dispatch: {playbook: p, batch_dispatch: '{{ env.X }}'}, dedup: {enabled: '{{ env.X }}'}, "
        "headers: {normalize: '{{ env.X }}', trace: {propagate: '{{ env.X }}'}, passthrough: '{{ env.X }}'}}"
    )
    headers = found.headers

    assert found.dedup is not None
    for each in (
        found.dispatch.batched,
        found.dedup.enabled,
        headers.normalize,
        headers.propagate,
        headers.passthrough,
    ):
        assert isinstance(each, Expression)
        assert each.evaluate({"env": {"X": said}}) is flag


@pytest.mark.parametrize(
    ("said", "passed"),
    [("true", True), ("false", False), ("'on'", True), ("x-id", ("x-id",)), ("[x-id, 'on']", ("x-id", "on")), ("[]", False)],
)  # fmt: skip
def test_headers_are_passed_on_all_or_none_or_by_name(said: str, passed: object) -> None:
    spec = f"{{source: kafka, topic: t, dispatch: {{playbook: p}}, headers: {{passthrough: {said}}}}}"

    assert plan(spec).headers.passthrough == passed


def test_a_flag_may_be_a_variable() -> None:
    spec = "{source: kafka, topic: t, dispatch: {playbook: p, batch_dispatch: '${A}'}, headers: {passthrough: '${B}'}}"
    found = plan(spec, environment={"A": "off", "B": "true"})

    assert (found.dispatch.batched, found.headers.passthrough) == (False, True)
    assert plan(spec).dispatch.batched is False


class TestVariables:
    SPEC = "{source: kafka, topic: 'in.${ENV}', runtime: {batch: '${BATCH}'}, dispatch: {playbook: '${P:-load}'}}"

    def test_allowed_ones_are_filled_in(self) -> None:
        found = plan(self.SPEC, environment={"ENV": "prod", "BATCH": "50"})

        assert (found.position.topic, found.runtime.batch) == ("in.prod", 50)
        assert (found.dispatch.playbook, found.missing) == ("load", frozenset())

    def test_others_are_warnings_until_activation(self) -> None:
        found = subscribed(self.SPEC, environment={"BATCHES": "50"})

        assert found.plan.missing == {"ENV", "BATCH"}
        assert (found.plan.position.topic, found.plan.runtime.batch) == ("in.${ENV}", None)
        assert [str(each) for each in found.warnings] == [
            "orders.yaml:4:30: warning: the variable 'ENV' is not one that the deployment shows, so this cannot be activated yet; "
            "set it, and list ENV in the setting `environment`",
            "orders.yaml:4:60: warning: the variable 'BATCH' is not one that the deployment shows, so this cannot be activated yet; "
            "did you mean 'BATCHES'?",
        ]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{source: kafka, topic: t}", "4:7: error: key 'spec' of the subscription needs a key 'dispatch'"),
        ("{topic: t, dispatch: {playbook: p}}", "4:7: error: key 'spec' of the subscription needs a key 'source'"),
        ("{source: kafka, dispatch: {as: frame}}", "4:33: error: key 'spec.dispatch' of the subscription needs a key 'playbook'"),
        ("{source: kafka, mode: pul, dispatch: {playbook: p}}", "4:29: error: key 'spec.mode' of the subscription is one of pull, push; did you mean 'pull'?"),
        ("{source: kafka, topik: t, dispatch: {playbook: p}}", "4:23: error: unknown key 'topik' in key 'spec' of the subscription; did you mean 'topic'?"),
        ("{source: kafka, topic: t, dispatch: {playbook: p, ordering: per_kee}}", "4:67: error: key 'spec.dispatch.ordering' of the subscription is one of none, per_partition, per_key; did you mean 'per_key'?"),
        ("{source: kafka, topic: t, dispatch: {playbook: p}, limits: {max_in_flight: many}}", "4:82: error: key 'spec.limits.max_in_flight' of the subscription is a number, not text"),
        ("{source: kafka, topic: t, dispatch: {playbook: p}, spool: {retention: soon}}", "4:77: error: key 'spec.spool.retention' of the subscription is a number of seconds or a text like '15m'"),
        ("{source: webhook, dispatch: {playbook: p}, ingress: {verify: {type: hmac_sha256}}}", "4:68: error: key 'spec.ingress.verify' of the subscription needs a key 'secret', by which 'hmac_sha256' proves anything; write `secret: <alias>`"),
        ("{source: webhook, dispatch: {playbook: p}, ingress: {verify: {type: hmac_sha}}}", "4:75: error: key 'spec.ingress.verify.type' of the subscription is one of hmac_sha256, bearer, standard_webhooks, oidc; did you mean 'hmac_sha256'?"),
        ("{source: kafka, topic: t, dispatch: {playbook: p}, headers: {directives: [{header: x}]}}", "4:81: error: key 'spec.headers.directives[0]' of the subscription needs a key 'controls'"),
        ("{source: kafka, topic: t, auth: {type: sasl}, dispatch: {playbook: p}}", "4:39: error: key 'spec.auth' of the subscription names no credential; write `key: <alias>`"),
        ("{source: kafca, topic: t, dispatch: {playbook: p}}", "4:16: warning: key 'spec.source' of the subscription: 'kafca' is not known here; did you mean 'kafka'?"),
        ("{source: kafka, dispatch: {playbook: p}}", "4:7: warning: key 'spec' of the subscription says nothing of what is read from kafka, so it cannot be activated yet; write `topic: …`"),
        ("{source: webhook, dispatch: {playbook: p}}", "4:16: warning: key 'spec' of the subscription: anybody may push to it; write `ingress: {verify: {type, secret}}`"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_doubtful_is_told_at_its_place(spec: str, problem: str) -> None:
    assert f"orders.yaml:{problem}" in said(spec)


@pytest.mark.parametrize("key", ["runtime: {pool: heavi}", "dispatch: {playbook: p, execution_pool: heavi}"])
def test_a_pool_that_is_not_there_is_a_warning(key: str) -> None:
    spec = (
        f"{{source: kafka, topic: t, {key}, dispatch: {{playbook: p}}}}"
        if "runtime" in key
        else f"{{source: kafka, topic: t, {key}}}"
    )

    (warning,) = said(spec, pools=("default", "heavy"))

    assert "there is no pool 'heavi' yet; did you mean 'heavy'?" in warning
    assert said(spec) == []


def test_its_own_credentials_are_declared_and_kept_out_of_sight() -> None:
    """I9: neither warnings nor the plan's `repr` quote a secret."""
    more = f"keychain: [{{name: login, kind: static, data: {{password: {CANARY}}}}}, {{name: idle, kind: static}}]\n"
    found = subscribed("{source: kafka, topic: t, auth: login, dispatch: {playbook: p}}", more=more)

    assert set(found.plan.keychain) == {"login", "idle"}
    assert [str(each) for each in found.warnings] == [
        "orders.yaml:4:87: warning: credential 'idle' is never used; remove it"
    ]
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            f"apiVersion: noetl.io/v1\nkind: Subscription\nmetadata: {{name: s}}\nspec: {SHORT}\n",
            "CompiledSubscription",
        ),
        (f"{HEAD}workflow: [{{step: a, tool: {{kind: noop}}}}]\n", "Compiled"),
    ],
)
def test_a_document_is_compiled_by_its_kind(text: str, kind: str) -> None:
    none: Mapping[str, str] = {}
    assert type(compile_document(text, file="x.yaml", kinds=KINDS, environment=none)).__name__ == kind
