"""What a document's `keychain` declares, who reads which credential, and where none may be read."""

from __future__ import annotations

import time

import pytest

from noetl_stream.core.names import KEYCHAIN
from noetl_stream.core.plan import Expression
from tests.dsl.kinds import HEAD, compiled, error, problems, warnings
from tests.dsl.reading import step, task

CANARY = "canary-5up3r-s3cr3t"


def document(keychain: str, tool: str = "{kind: noop}", more: str = "") -> str:
    return f"keychain: [{keychain}]\nworkflow: [{{step: a, tool: {tool}{more}}}]\n"


def test_a_declaration_is_compiled_with_its_words_and_its_templates() -> None:
    body = document(
        "{name: gh, kind: oauth2, provider: gcp, scope: shared, auto_renew: 'true', endpoint: 'https://x/{{ workload.t }}', "
        "auth: base, map: {token: secrets/gh}}, {name: base, kind: static, data: {k: v}}"
    )
    found = compiled(body).plan.keychain["gh"]

    assert (found.kind, found.provider, found.scope, found.auto_renew) == ("oauth2", "gcp", "shared", True)
    assert found.needs == {"base"}
    assert found.settings.evaluate({"workload": {"t": 1}}) == {
        "endpoint": "https://x/1",
        "auth": "base",
        "map": {"token": "secrets/gh"},
    }


def test_whether_a_credential_is_renewed_may_be_a_template() -> None:
    keychain = "{name: gh, kind: oauth2, auto_renew: '{{ keychain.base.renew == ctx.x }}'}, {name: base, kind: static}"
    plan = compiled(document(keychain, "{kind: noop, auth: gh}")).plan
    renew = plan.keychain["gh"].auto_renew

    assert isinstance(renew, Expression)
    assert [renew.evaluate({"keychain": {"base": {"renew": 1}}, "ctx": {"x": x}}) for x in (0, 1)] == [
        False,
        True,
    ]
    assert plan.keychain["gh"].needs == {"base"}
    assert ("ctx", "x") in step(document(keychain, "{kind: noop, auth: gh}"), "a").reads


@pytest.mark.parametrize(
    "kind", ["secret_manager", "oauth2", "credential", "bearer", "static", "google_id_token"]
)
@pytest.mark.parametrize("provider", ["env", "file", "vault", "aws", "gcp", "azure", "k8s"])
def test_every_kind_and_provider_is_known(kind: str, provider: str) -> None:
    body = document(f"{{name: k, kind: {kind}, provider: {provider}}}", "{kind: noop, auth: k}")

    assert warnings(body) == []


@pytest.mark.parametrize("scope", ["local", "shared", "global", "catalog"])
def test_every_scope_is_known(scope: str) -> None:
    body = document(f"{{name: k, kind: static, scope: {scope}}}", "{kind: noop, auth: k}")

    assert compiled(body).plan.keychain["k"].scope == scope


@pytest.mark.parametrize(
    ("keychain", "problem"),
    [
        ("{name: k, kind: static}, {name: k, kind: bearer}", "4:44: error: there are two credentials named 'k'; rename one of them"),
        ("{name: k}", "4:12: error: key 'keychain[0]' of the playbook needs a key 'kind'"),
        ("{kind: static}", "4:12: error: key 'keychain[0]' of the playbook needs a key 'name'"),
        ("{name: k, kind: static, provider: vualt}", "4:46: error: key 'keychain[0].provider' of the playbook is one of env, file, vault, aws, gcp, azure, k8s; did you mean 'vault'?"),
        ("{name: k, kind: static, scope: globl}", "4:43: error: key 'keychain[0].scope' of the playbook is one of local, shared, global, catalog; did you mean 'global'?"),
        ("{name: k, kind: bearer, auth: l}, {name: l, kind: bearer, auth: k}", "4:12: error: credential 'k' needs itself (k → l → k); break the circle"),
        ("{name: k, kind: bearer, token: '{{ keychain.z.t }}'}", "4:43: error: credential 'k', key 'token': the document's `keychain` has no 'z'; declare `{name: z, kind: …}` there"),
    ],
)  # fmt: skip
def test_a_declaration_that_is_wrong_is_told_at_its_place(keychain: str, problem: str) -> None:
    assert f"sales.yaml:{problem}" in [str(each) for each in problems(document(keychain))]


@pytest.mark.parametrize(
    ("keychain", "warning"),
    [
        ("{name: k, kind: oauht2}", "4:28: warning: credential 'k': the kind 'oauht2' is not known here; did you mean 'oauth2'?"),
        ("{name: k, kind: oauth2, endpont: x}", "4:36: warning: credential 'k': the key 'endpont' is handed to its provider as it is; did you mean 'endpoint'?"),
        ("{name: k, kind: oauth2}", "4:19: warning: credential 'k' is never used; remove it"),
    ],
)  # fmt: skip
def test_a_doubtful_declaration_is_a_warning(keychain: str, warning: str) -> None:
    assert f"sales.yaml:{warning}" in warnings(document(keychain))


def test_a_credential_that_only_another_one_needs_is_used() -> None:
    body = document(
        "{name: k, kind: bearer, auth: base}, {name: base, kind: static}", "{kind: noop, auth: k}"
    )

    assert not any("never used" in each for each in warnings(body))


@pytest.mark.slow
def test_many_credentials_are_checked_in_time_that_grows_with_the_document() -> None:
    """Processor time: to compare each declaration with all others takes twenty seconds and more."""
    keychain = ", ".join(f"{{name: name-{index}, kind: static}}" for index in range(3_000))

    begun = time.process_time()
    found = warnings(document(keychain, "{kind: noop, auth: name-7}"))

    assert sum("is never used" in each for each in found) == 2_999
    assert time.process_time() - begun < 8.0


class TestNames:
    DECLARED = "{name: github, kind: bearer, token: t}"

    def test_an_unknown_alias_is_an_error_with_a_suggestion(self) -> None:
        body = document(self.DECLARED, "{kind: noop, result: '{{ keychain.gihub.token }}'}")

        assert error(body) == (
            "sales.yaml:5:49: error: the tool of step 'a', key 'result': the document's `keychain` has no 'gihub'; "
            "did you mean 'github'?"
        )

    def test_without_a_keychain_it_is_a_warning(self) -> None:
        body = "workflow: [{step: a, tool: {kind: noop, result: '{{ keychain.github.token }}'}}]\n"

        assert warnings(body) == [
            "sales.yaml:4:49: warning: the tool of step 'a', key 'result': the document's `keychain` has no 'github'; "
            "declare `{name: github, kind: …}` there"
        ]

    def test_a_computed_alias_means_all_that_are_declared(self) -> None:
        tool = "{kind: noop, result: '{{ keychain[workload.which].token }}'}"
        body = document(f"{self.DECLARED}, {{name: l, kind: static}}", tool)

        assert task(body).credentials == {"github", "l"}
        assert any("which credential is read is not known" in each for each in warnings(body))

    @pytest.mark.parametrize(
        ("tool", "more"),
        [
            ("{kind: noop, set: {ctx.x: '{{ keychain.github.token }}'}}", ""),
            (
                "{kind: noop, spec: {policy: {rules: [{else: {then: {do: continue, set: {x: '{{ keychain.github }}'}}}}]}}}",
                "",
            ),
            ("{kind: playbook, path: p, input: {t: '{{ keychain.github.token }}'}}", ""),
            ("[{kind: noop, iterator: {items: '{{ keychain.github }}'}}]", ""),
        ],
    )
    def test_what_is_recorded_may_not_read_it(self, tool: str, more: str) -> None:
        found = [str(each) for each in problems(document(self.DECLARED, tool, more))]

        assert any(
            "'keychain' may not be read here, as this is written to the event log; read it where it is used"
            in each
            for each in found
        )

    @pytest.mark.parametrize(
        "more",
        [
            ", next: [{step: a, when: '{{ keychain.github.token }}'}]",
            ", set: {ctx.x: '{{ keychain.github.token }}'}",
            ", loop: {in: '{{ keychain.github }}'}",
        ],
    )
    def test_what_is_decided_may_not_read_it(self, more: str) -> None:
        found = [str(each) for each in problems(document(self.DECLARED, more=more))]

        assert any("'keychain' is known inside a block only; read it in the tool" in each for each in found)


class TestReaders:
    def test_a_task_knows_every_credential_that_it_reads(self) -> None:
        names = ", ".join(f"{{name: {name}, kind: static}}" for name in ("a1", "b1", "c1", "d1", "e1"))
        tool = (
            "{kind: http, url: '{{ keychain.a1.url }}', input: {x: '{{ keychain.b1.y }}'}, auth: c1, "
            "spec: {policy: {rules: [{when: '{{ keychain.d1.z }}', then: {do: fail}}]}}}"
        )

        found = task(document(names, tool, ", input: {w: '{{ keychain.e1.w }}'}"))

        assert found.credentials == {"a1", "b1", "c1", "d1", "e1"}

    def test_a_block_is_sent_what_the_declarations_read(self) -> None:
        body = document(
            "{name: k, kind: bearer, token: '{{ keychain.base.x }}'}, {name: base, kind: static, data: '{{ ctx.d }}'}",
            "{kind: noop, auth: k}",
        )

        assert ("ctx", "d") in step(body).reads
        assert not any(path[0] == KEYCHAIN for path in step(body).reads)


def test_no_problem_and_no_plan_shows_what_stands_in_a_keychain() -> None:
    """I9: neither the sentences that an author reads nor the `repr` of what was compiled quote a secret."""
    texts = [
        document(f"{{name: k, kind: bearer, token: '{CANARY} {{{{ b c'}}", "{kind: noop, auth: k}"),
        document(
            f"{{name: k, kind: bearer, token: '{CANARY} {{{{ x | nofilter }}}}'}}", "{kind: noop, auth: k}"
        ),
        document("", f"{{kind: noop, auth: {{token: '{CANARY} {{{{ x | nofilter }}}}'}}}}"),
        document(
            f"{{name: k, kind: bearer, token: '{CANARY}', data: {{p: '{CANARY}'}}}}", "{kind: noop, auth: k}"
        ),
    ]

    said = [str(each) for text in texts[1:3] for each in problems(text)]
    said += [each for text in (texts[0], texts[3]) for each in warnings(text)]
    said += [repr(compiled(text)) for text in (texts[0], texts[3])]

    assert len(said) >= 4
    assert not any(CANARY in each for each in said)
    assert HEAD not in said
