"""Every spelling of `auth`, and the one form that they have in a plan."""

from __future__ import annotations

from typing import Any

import pytest

from noetl_stream.core.credentials import SCRIPT
from tests.dsl.kinds import error, warnings
from tests.dsl.reading import pipeline, step, task

SCOPE = {"ctx": {"which": "pg_main"}, "keychain": {"gh": {"token": "t"}}}


def granted(auth: str) -> list[tuple[str, Any, str | None]]:
    """Each grant's name, alias (or own fields) and provider."""
    found = task(f"workflow: [{{step: a, tool: {{kind: noop, auth: {auth}}}}}]\n").auth
    return [(each.name, each.alias.evaluate(SCOPE), each.provider) for each in found]


@pytest.mark.parametrize(
    ("auth", "grants"),
    [
        ("pg_main", [("pg_main", "pg_main", None)]),
        ("'{{ ctx.which }}'", [("auth", "pg_main", None)]),
        ("{source: pg_main}", [("pg_main", "pg_main", None)]),
        ("{source: '{{ ctx.which }}', type: postgres}", [("auth", "pg_main", None)]),
        ("{source: keychain, key: pg_main}", [("pg_main", "pg_main", None)]),
        ("{source: env, key: PG_URL}", [("PG_URL", "PG_URL", "env")]),
        ("{type: postgres, credential: pg_main}", [("pg_main", "pg_main", None)]),
        ("{provider: vault, key: secret/pg}", [("secret/pg", "secret/pg", "vault")]),
        ("{pg: {source: pg_main, type: postgres}}", [("pg", "pg_main", None)]),
        ("{pg_main: {type: postgres}}", [("pg_main", "pg_main", None)]),
        ("{pg_main: }", [("pg_main", "pg_main", None)]),
        ("{pg: pg_main, s3: hmac}", [("pg", "pg_main", None), ("s3", "hmac", None)]),
        ("[pg_main, {key: hmac}]", [("pg_main", "pg_main", None), ("hmac", "hmac", None)]),
        ("{username: u, password: p}", [("auth", {"username": "u", "password": "p"}, None)]),
        ("{type: bearer, token: '{{ keychain.gh.token }}'}", [("auth", {"token": "t"}, None)]),
    ],
)
def test_every_spelling_names_credentials(auth: str, grants: list[tuple[str, Any, str | None]]) -> None:
    assert granted(auth) == grants


def test_what_else_was_written_stands_in_its_settings() -> None:
    auth = "{gcs: {type: hmac, key: k, scope: 'gs://b', tool: duckdb}}"
    (found,) = task(f"workflow: [{{step: a, tool: {{kind: noop, auth: {auth}}}}}]\n").auth

    assert found.settings.evaluate({}) == {"type": "hmac", "key": "k", "scope": "gs://b", "tool": "duckdb"}


def test_auth_that_names_nothing_is_an_error() -> None:
    body = "workflow: [{step: a, tool: {kind: noop, auth: {type: bearer}}}]\n"

    assert error(body) == (
        "sales.yaml:4:47: error: key 'auth' of the tool of step 'a' names no credential; write `key: <alias>`"
    )


def test_an_alias_that_is_nearly_declared_is_a_warning_and_a_foreign_one_is_not() -> None:
    body = (
        "keychain: [{name: pg_main, kind: static}]\n"
        "workflow: [{step: a, tool: [{kind: noop, auth: pg_man}, {kind: noop, auth: of_the_platform}, {kind: noop, auth: pg_main}]}]\n"
    )

    assert warnings(body) == [
        "sales.yaml:5:48: warning: key 'auth' of task 'task_0' of step 'a': the document's `keychain` has no 'pg_man'; "
        "did you mean 'pg_main'?"
    ]


@pytest.mark.parametrize("key", ["auth", "credential"])
def test_a_cursor_has_a_credential_too(key: str) -> None:
    body = f"workflow: [{{step: a, loop: {{cursor: {{kind: duckdb, {key}: pg, claim: select 1}}}}, tool: {{kind: noop}}}}]\n"
    loop = step(body).loop
    assert loop is not None

    assert loop.cursor.tasks[0].credentials == {"pg"}
    assert pipeline(body).tasks[0].credentials == frozenset()


def test_an_end_of_a_transfer_has_one_credential() -> None:
    body = (
        "workflow: [{step: a, tool: {kind: transfer, source: {kind: postgres, table: t, auth: [one, two]},"
        " target: {kind: frame}}}]\n"
    )

    assert error(body) == (
        "sales.yaml:4:86: error: the tool of step 'a': `source.auth` names 2 credentials, and an end has one; "
        "name the one that it connects with"
    )


def test_each_end_of_a_transfer_has_a_credential_of_its_own() -> None:
    """It is granted under the end's name, and is no part of what the tool reads."""
    found = task(
        "workflow: [{step: a, tool: {kind: transfer, auth: third, source: {kind: postgres, table: t, auth: pg_main},"
        " target: {kind: postgres, table: u, auth: {source: pg_other, type: postgres}}}}]\n"
    )

    assert [(each.name, each.alias.evaluate(SCOPE)) for each in found.auth] == [
        ("source", "pg_main"),
        ("target", "pg_other"),
        ("third", "third"),
    ]
    assert "auth" not in found.config.evaluate(SCOPE)["target"]


def test_a_scripts_credential_has_a_name_of_its_own_and_is_no_part_of_the_config() -> None:
    found = task(
        "workflow: [{step: a, tool: {kind: sqlite, auth: db, script: {uri: s3://b/q.sql, source: {auth: {token: t0k3n}}}}}]\n"
    )

    assert [each.name for each in found.auth] == ["db", SCRIPT]
    assert "auth" not in found.config.evaluate(SCOPE)["script"]["source"]
