"""The tables of the outer document: metadata, keychain, policy, executor, subscription."""

from __future__ import annotations

from typing import Final

from noetl_stream.dsl.schema import (
    ANY,
    ASSERT,
    FLAG,
    MAPPING,
    NUMBER,
    RETRY,
    RULE,
    SPEC,
    TEXT,
    TEXTS,
    WORDS,
)
from noetl_stream.dsl.shapes import Choice, Either, Keys, Many, Shape, Templated

EXPOSED: Final = Either(
    scalar=FLAG, mapping=Keys(keys=dict.fromkeys(("name", "title", "description"), TEXT), open=True)
)
METADATA: Final = Keys(
    keys={
        "name": TEXT,
        "path": TEXT,
        "version": TEXT,
        "description": TEXT,
        "labels": ANY,
        "tags": ANY,
        "capabilities": ANY,
        "agent": ANY,
        "exposes_as_mcp": EXPOSED,
    },
    required=("name",),
    open=True,
)
PROVIDERS: Final = ("env", "file", "vault", "aws", "gcp", "azure", "k8s")
CREDENTIAL: Final = Keys(
    keys={
        "name": TEXT,
        "kind": TEXT,
        "provider": Choice(PROVIDERS),
        "auth": ANY,
        "map": Either(mapping=ANY, list=ANY),
        "scope": Choice(("local", "shared", "global", "catalog")),
        "auto_renew": FLAG,
        **dict.fromkeys(("endpoint", "method"), TEXT),
        "headers": Templated(MAPPING),
        **dict.fromkeys(("data", "token", "credential", "ref"), ANY),
        **dict.fromkeys(("type", "target_audience"), TEXT),
    },
    required=("name", "kind"),
    open=True,
)
"""Further keys, such as `service_account_…`, are for the provider."""
KEYCHAIN: Final = Many(CREDENTIAL)
RATE: Final = Keys(keys={"max": NUMBER, "per": TEXT, "key": TEXT}, required=("max",), open=True)
NAMES: Final = Either(scalar=TEXT, list=TEXTS, mapping=MAPPING)
"""Names as a list, as one text, or as keys."""
RETENTION: Final = Keys(keys=dict.fromkeys(("all", "results", "events"), TEXT), open=True)
SCHEDULE: Final = Keys(keys={"cron": TEXT, "timezone": TEXT, "catchup": FLAG}, required=("cron",))
POLICY: Final = Keys(
    keys={
        "access": Keys(keys={"roles": WORDS, "tenants": WORDS}),
        "audit": Keys(keys={"level": TEXT, "retain": ANY, "encrypt": TEXTS}),
        "replay": Keys(keys={"record": WORDS, "deterministic": FLAG}),
        "retry": Either(scalar=NUMBER, mapping=RETRY, list=Many(RULE)),
        "schema": Keys(
            keys={"input": MAPPING, "output": MAPPING, "on_drift": Choice(("fail", "quarantine", "widen"))}
        ),
        "concurrency": Keys(
            keys={
                "key": TEXT,
                "max": NUMBER,
                "on_limit": Choice(("queue", "reject", "cancel_oldest")),
            }
        ),
        "rate": Either(scalar=TEXT, mapping=RATE),
        "retention": Either(scalar=TEXT, mapping=RETENTION),
        "on_failure": Keys(keys={"step": TEXT, "playbook": TEXT}),
        "schedule": Either(mapping=SCHEDULE, list=Many(SCHEDULE)),
        "network": Keys(keys={"allow": WORDS}),
        "deadline": TEXT,
    }
)
EXECUTOR: Final = Keys(
    keys={
        "profile": TEXT,
        "version": TEXT,
        "requires": Keys(keys={"tools": NAMES, "features": NAMES}),
        "spec": SPEC,
    }
)
WORKBOOK: Final = Many(
    Keys(
        keys={"name": TEXT, "tool": Either(mapping=ANY, list=ANY), "desc": TEXT, "assert": ASSERT},
        required=("name", "tool"),
    )
)
PLAYBOOK: Final = Keys(
    keys={
        "apiVersion": Choice(("noetl.io/v2",)),
        "kind": Choice(("Playbook",)),
        "metadata": METADATA,
        "workload": MAPPING,
        "spec": MAPPING,
        "keychain": KEYCHAIN,
        "workbook": WORKBOOK,
        "executor": EXECUTOR,
        "workflow": Many(ANY),
        "policy": POLICY,
    },
    required=("apiVersion", "kind", "metadata", "workflow"),
)

_SUBSCRIPTION: Final[dict[str, Shape]] = {
    "source": TEXT,
    "mode": Choice(("pull", "push")),
    "activation": TEXT,
    "auth": ANY,
    **dict.fromkeys(("topic", "subscription", "stream", "consumer", "group"), TEXT),
    "format": Choice(("json", "avro", "arrow", "bytes")),
    "runtime": Keys(keys={"target": TEXT, "pool": TEXT, "batch": NUMBER, "timeout_ms": NUMBER}),
    "dispatch": Keys(
        keys={
            "playbook": TEXT,
            "payload_from": ANY,
            "execution_pool": TEXT,
            "batch_dispatch": FLAG,
            "batch_max": NUMBER,
            "as": Choice(("messages", "frame")),
            "ordering": Choice(("none", "per_partition", "per_key")),
            "carry": ANY,
        },
        required=("playbook",),
    ),
    "dedup": Keys(keys={"enabled": FLAG, "window_secs": NUMBER}),
    "limits": Keys(keys={"max_in_flight": NUMBER, "max_dispatch_per_sec": NUMBER}),
    "headers": Keys(
        keys={
            "normalize": FLAG,
            "directives": Many(
                Keys(
                    keys={"header": TEXT, "controls": TEXT, "allowed": WORDS, "map": MAPPING},
                    required=("header", "controls"),
                )
            ),
            "trace": Keys(keys={"propagate": FLAG, "baggage_allowlist": WORDS}),
            "passthrough": WORDS,
        }
    ),
    "spool": Keys(
        keys={
            **dict.fromkeys(("mode", "backend", "bucket"), TEXT),
            "credential": ANY,
            **dict.fromkeys(("ordering", "ordering_key"), TEXT),
            **dict.fromkeys(("circuit", "retention", "drain"), ANY),
        }
    ),
    "ingress": Keys(
        keys={
            "gateway_path": TEXT,
            "verify": Keys(
                keys={
                    "type": Choice(("hmac_sha256", "bearer", "standard_webhooks", "oidc")),
                    "secret": ANY,
                    "header": TEXT,
                },
                required=("type",),
            ),
        }
    ),
}
SUBSCRIPTION: Final = Keys(
    keys={
        "apiVersion": Choice(("noetl.io/v1", "noetl.io/v2")),
        "kind": Choice(("Subscription",)),
        "metadata": METADATA,
        "keychain": KEYCHAIN,
        "spec": Keys(keys=_SUBSCRIPTION, required=("source", "dispatch")),
    },
    required=("apiVersion", "kind", "metadata", "spec"),
)
