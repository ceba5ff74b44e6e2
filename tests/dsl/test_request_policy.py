"""A document's `policy` as the value that whoever enforces it reads."""

from __future__ import annotations

import pytest

from noetl_stream.core.plan import Expression
from noetl_stream.core.policy import Access, Audit, Contract, Policy, Replay, Schedule
from tests.dsl.kinds import compiled, error, problems, warnings

FLOW = "workflow: [{step: a, tool: {kind: noop}}]\n"


def policy(text: str) -> Policy:
    return compiled(f"workload: {{tenant: t, width: 4}}\npolicy: {text}\n{FLOW}").plan.policy


def test_a_document_without_a_policy_asks_for_nothing() -> None:
    assert compiled(FLOW).plan.policy == Policy()


def test_all_of_it_is_typed() -> None:
    found = policy(
        "{access: {roles: [analyst, admin], tenants: acme}, audit: {level: full, retain: 7y, encrypt: [email]}, "
        "replay: {record: [http], deterministic: 'yes'}, schema: {input: {id: int}, on_drift: widen}, "
        "retention: {events: 30d, results: 3600}, network: {allow: ['*.example', 'https://API.test/v1', 'db.test:5432']}, "
        "schedule: [{cron: '0 6 * * 1-5', timezone: Europe/Berlin, catchup: true}, {cron: '@daily'}]}"
    )

    assert found.access == Access(roles=("analyst", "admin"), tenants=("acme",))
    assert found.audit == Audit(level="full", retain=7 * 31_536_000, encrypt=("email",))
    assert found.replay == Replay(record=("http",), deterministic=True)
    assert found.contract == Contract(input={"id": "int"}, on_drift="widen")
    assert found.retention == {"events": 2_592_000.0, "results": 3600.0}
    assert found.hosts == ("*.example", "api.test", "db.test:5432")
    assert found.schedule == (
        Schedule(cron="0 6 * * 1-5", timezone="Europe/Berlin", catchup=True),
        Schedule(cron="@daily"),
    )


def test_a_limit_on_concurrency_has_a_key_and_a_number_of_the_inputs() -> None:
    found = policy(
        "{concurrency: {key: '{{ workload.tenant }}', max: '{{ width }}', on_limit: reject}}"
    ).concurrency
    scope = {"workload": {"tenant": "t"}, "width": "4"}

    assert found is not None
    assert found.key is not None
    assert (found.key.evaluate(scope), found.max.evaluate(scope), found.on_limit) == ("t", 4, "reject")


@pytest.mark.parametrize(
    ("written", "limit", "per"),
    [
        ("5", 5, 1.0),
        ("5/s", 5, 1.0),
        ("100/m", 100, 60.0),
        ("100 per minute", 100, 60.0),
        ("2.5/hour", 2.5, 3600.0),
        ("{max: 10, per: day}", 10, 86400.0),
        ("{max: '10', per: 15m}", 10, 900.0),
        ("{max: 10, per: 30}", 10, 30.0),
    ],
)
def test_a_rate_may_be_written_in_several_ways(written: str, limit: float, per: float) -> None:
    found = policy(f"{{rate: {written}}}").rate

    assert found is not None
    assert (found.max.evaluate({}), found.per) == (limit, per)


def test_one_retention_or_schedule_needs_no_list() -> None:
    found = policy("{retention: 30d, schedule: {cron: '*/5 * * * *'}}")

    assert (found.retention, found.schedule[0].cron) == ({"all": 2_592_000.0}, "*/5 * * * *")


@pytest.mark.parametrize(
    ("written", "record"),
    [("true", True), ("all", True), ("'off'", False), ("none", False), ("[http, sql]", ("http", "sql")), ("http", ("http",))],
)  # fmt: skip
def test_what_is_recorded_is_all_nothing_or_what_is_named(
    written: str, record: bool | tuple[str, ...]
) -> None:
    replay = policy(f"{{replay: {{record: {written}}}}}").replay

    assert replay is not None
    assert replay.record == record


@pytest.mark.parametrize(("said", "flag"), [("no", False), ("true", True), (False, False)])
def test_flags_may_be_templates_over_the_inputs(said: str | bool, flag: bool) -> None:
    found = policy(
        "{replay: {record: '{{ workload.x }}', deterministic: '{{ workload.x }}'}, "
        "schedule: {cron: '@daily', catchup: '{{ workload.x }}'}}"
    )

    assert found.replay is not None
    for each in (found.replay.record, found.replay.deterministic, found.schedule[0].catchup):
        assert isinstance(each, Expression)
        assert each.evaluate({"workload": {"x": said}}) is flag


def test_a_flag_that_reads_what_comes_later_is_told() -> None:
    text = "policy: {replay: {deterministic: '{{ ctx.x }}'}}\n"

    assert error(text + FLOW).endswith(
        "4:34: error: key 'policy.replay.deterministic' of the playbook reads 'ctx', but it may read inputs alone; "
        "take it from `workload`"
    )


def test_an_empty_list_names_nothing() -> None:
    found = policy("{access: {roles: []}, replay: {record: []}, schedule: [], network: {allow: []}}")

    assert (found.access, found.replay, found.schedule) == (Access(), Replay(record=()), ())
    assert found.hosts == ()


def test_a_deadline_and_the_payloads_bound_may_be_templates() -> None:
    plan = compiled(
        "executor: {spec: {policy: {limits: {max_payload_bytes: '{{ workload.most }}'}}}}\n"
        f"policy: {{deadline: '{{{{ workload.minutes }}}}m'}}\n{FLOW}"
    ).plan

    assert isinstance(plan.deadline, Expression)
    assert isinstance(plan.max_payload, Expression)
    assert plan.deadline.evaluate({"workload": {"minutes": 2}}) == 120.0
    assert plan.max_payload.evaluate({"workload": {"most": "1000"}}) == 1000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{acces: {}}",
            "4:10: error: unknown key 'acces' in key 'policy' of the playbook; did you mean 'access'?",
        ),
        (
            "{access: {role: a}}",
            "4:19: error: unknown key 'role' in key 'policy.access' of the playbook; did you mean 'roles'?",
        ),
        (
            "{audit: {retain: long}}",
            "4:26: error: key 'policy.audit.retain' of the playbook is a number of seconds or a text like '15m'",
        ),
        (
            "{retention: {events: ever}}",
            "4:30: error: key 'policy.retention.events' of the playbook is a number of seconds or a text like '15m'",
        ),
        (
            "{schedule: [{cron: 'every day'}]}",
            "4:28: error: key 'policy.schedule[0].cron' of the playbook is five fields, as in '0 6 * * 1-5', not 'every day'",
        ),
        (
            "{schedule: [{timezone: UTC}]}",
            "4:21: error: key 'policy.schedule[0]' of the playbook needs a key 'cron'",
        ),
        (
            "{concurrency: {max: 1, on_limit: drop}}",
            "4:42: error: key 'policy.concurrency.on_limit' of the playbook is one of queue, reject, cancel_oldest",
        ),
        (
            "{network: {allow: ['api example']}}",
            "4:28: error: key 'policy.network.allow' of the playbook is a host, as in 'api.example' or '*.example:443', not 'api example'",
        ),
        (
            "{network: {allow: ['{{ workload.h }}']}}",
            "4:28: error: key 'policy.network.allow' of the playbook: a host is named literally",
        ),
        (
            "{on_failure: {step: a, playbook: b}}",
            "4:42: error: `on_failure` names a step or a playbook, not both; keep one of them",
        ),
        (
            "{rate: {per: s}}",
            "4:16: error: key 'policy.rate' of the playbook needs a key 'max'",
        ),
        (
            "{schema: {on_drift: stop}}",
            "4:29: error: key 'policy.schema.on_drift' of the playbook is one of fail, quarantine, widen",
        ),
    ],
)
def test_what_is_malformed_is_told_at_its_place(text: str, problem: str) -> None:
    assert f"sales.yaml:{problem}" in [str(each) for each in problems(f"policy: {text}\n{FLOW}")]


def test_what_only_seems_to_mean_something_is_a_warning() -> None:
    found = warnings(
        f"policy: {{rate: {{max: 1, burts: 3}}, schedule: {{cron: '@daily', timezone: Mars}}}}\n{FLOW}"
    )

    assert "sales.yaml:4:25: warning: key 'policy.rate' of the playbook knows no key 'burts'" in found
    assert (
        "sales.yaml:4:73: warning: key 'policy.schedule[0].timezone' of the playbook is 'Mars', which is unknown here"
        in found
    )


@pytest.mark.parametrize(
    ("key", "today"),
    [
        (
            "access: {roles: a}",
            "`policy.access.roles` is kept, but any role may ask until there is a gateway",
        ),
        ("audit: {encrypt: [a]}", "is kept, but nothing is encrypted until fields have keys of their own"),
        ("audit: {retain: 7y}", "is kept, but the log keeps everything until there is an archive"),
        ("retention: {events: 7d}", "is kept, but the log keeps everything until there is an archive"),
        ("schedule: {cron: '@daily'}", "is kept, but nothing starts by itself until there is a scheduler"),
        ("concurrency: {max: 1}", "is kept, but nothing is limited until executions share limits"),
        ("rate: 1", "is kept, but nothing is limited until executions share limits"),
        ("audit: {level: metadata}", "'metadata', but the log records everything, whatever the level"),
        ("replay: {record: false}", "leaves something out, but the log records everything"),
        ("replay: {record: [http]}", "leaves something out, but the log records everything"),
        ("retention: {logs: 7d}", "key 'policy.retention' of the playbook knows no key 'logs'"),
    ],
)
def test_what_waits_for_another_part_says_what_happens_today(key: str, today: str) -> None:
    (warning,) = warnings(f"policy: {{{key}}}\n{FLOW}")

    assert today in warning


def test_what_is_enforced_says_nothing() -> None:
    assert (
        warnings(
            "policy: {network: {allow: a.example}, deadline: 1h, retry: {max_attempts: 2}, access: {tenants: a}, "
            "audit: {level: full}, replay: {record: true, deterministic: true}, retention: {results: 7d}}\n"
            + FLOW
        )
        == []
    )
