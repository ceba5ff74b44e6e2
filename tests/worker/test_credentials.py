"""Credentials on the worker: resolved when a task runs, at hand for its tool, and never in what it reports."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import BlockFailed, Child
from noetl_stream.core.values import unmarked
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Credentials, Secret, Wanted
from noetl_stream.ports.tools import Call, Park
from noetl_stream.wire.codec import encode
from noetl_stream.worker.masking import Mask
from tests.worker.stage import Act, Stage, on_stage

CANARY = "canary/5up3r+s3cr3t é"


@dataclass(slots=True)
class MemoryCredentials:
    """A `ports.credentials.Credentials` over what a test put in; `asked` is what was asked for."""

    held: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    asked: list[Wanted] = field(default_factory=list)

    async def resolve(self, wanted: Wanted) -> Secret:
        self.asked.append(wanted)
        if wanted.alias not in self.held:
            raise ToolError(f"credential '{wanted.alias}' is nowhere", kind="credential")
        return Secret(wanted.alias, self.held[wanted.alias])


async def played(
    document: str, cache: LocalCache, act: Act | None = None, credentials: Credentials | None = None
) -> Stage:
    stage = on_stage(document, cache, act or Act())
    if credentials is not None:
        stage.credentials = credentials
    return await stage.play()


DECLARED = "keychain: [{name: gh, kind: secret_manager, provider: vault, map: {token: '{{ ctx.path }}'}}]\nworkflow:\n"
HELD = {"gh": {"token": CANARY, "user": "octocat"}}


async def test_a_template_reads_a_field_of_a_credential(cache: LocalCache) -> None:
    act, credentials = Act(), MemoryCredentials(HELD)
    document = DECLARED + "- {step: a, tool: {kind: act, say: 'Bearer {{ keychain.gh.token }}'}}\n"

    stage = await played(document, cache, act, credentials)

    assert act.said == [f"Bearer {CANARY}"]
    assert stage.results["a"] == "Bearer [keychain.gh]"


async def test_a_provider_is_told_what_the_document_says(cache: LocalCache) -> None:
    credentials = MemoryCredentials(HELD)
    document = DECLARED.replace("map:", "auto_renew: '{{ ctx.renew }}', map:") + (
        "- {step: z, tool: {kind: act, set: {ctx.path: secrets/gh, ctx.renew: 'no'}}, next: a}\n"
        "- {step: a, tool: {kind: act, auth: gh}}\n"
    )

    await played(document, cache, credentials=credentials)

    (wanted,) = credentials.asked
    assert (wanted.alias, wanted.kind, wanted.provider) == ("gh", "secret_manager", "vault")
    assert wanted.settings == {"map": {"token": "secrets/gh"}}
    assert wanted.auto_renew is False
    assert wanted.path == "sales"


async def test_a_tool_gets_the_secrets_that_its_auth_names(cache: LocalCache) -> None:
    act = Act(does=lambda call: {name: each.alias for name, each in call.credentials.items()})
    credentials = MemoryCredentials({**HELD, "pg_main": "postgres://x"})
    document = (
        DECLARED + "- {step: a, tool: {kind: act, auth: {pg: {source: pg_main, type: postgres}, gh: {}}}}\n"
    )

    stage = await played(document, cache, act, credentials)

    assert stage.results["a"] == {"pg": "pg_main", "gh": "gh"}
    assert act.calls[0].credentials["pg"].reveal() == "postgres://x"
    assert credentials.asked[0].settings == {"source": "pg_main", "type": "postgres"}


async def test_a_step_s_input_may_read_it_for_all_its_tasks(cache: LocalCache) -> None:
    act = Act(does=lambda call: call.input["t"] == CANARY)
    document = DECLARED + (
        "- {step: a, input: {t: '{{ keychain.gh.token }}'}, tool: [{name: x, kind: act}, {name: y, kind: act}]}\n"
    )

    stage = await played(document, cache, act, MemoryCredentials(HELD))

    assert (len(act.calls), stage.results["a"]) == (2, True)


async def test_a_declaration_may_need_another_one(cache: LocalCache) -> None:
    document = (
        "keychain: [{name: base, kind: static, data: {id: one-secret}}, {name: k, kind: bearer, token: '{{ keychain.base.id }}-token'}]\n"
        "workflow: [{step: a, tool: {kind: act, say: '{{ keychain.k.token | length }}'}}]\n"
    )

    assert (await played(document, cache)).results["a"] == len("one-secret-token")


@pytest.mark.parametrize(
    ("tool", "sentence"),
    [
        ("{kind: act, auth: gh}", "credential 'gh' does not stand in the document, and this worker has no keychain; declare it `kind: static` or `kind: bearer`, or let a rule of the task go on without it"),
        ("{kind: act, say: '{{ keychain.empty.x }}'}", "credential 'empty' is empty: its `data` yields nothing; give it a value"),
        ("{kind: act, say: '{{ keychain.full.x }}'}", "credential 'full' has no field 'x'; it has y"),
    ],
)  # fmt: skip
async def test_a_credential_that_cannot_be_had_fails_its_task_by_name(
    tool: str, sentence: str, cache: LocalCache
) -> None:
    document = (
        "keychain: [{name: gh, kind: oauth2}, {name: empty, kind: static}, {name: full, kind: static, data: {y: 1}}]\n"
        f"workflow: [{{step: a, tool: {tool}}}]\n"
    )
    act = Act()

    failed = (await played(document, cache, act)).outcome

    assert isinstance(failed, BlockFailed)
    assert (failed.error.kind, failed.error.message) == ("credential", sentence)
    assert act.calls == []


@pytest.mark.parametrize(
    "step",
    ["tool: {kind: act, auth: gh, RULES}", "input: {t: '{{ keychain.gh.token }}'}, tool: {kind: act, RULES}"],
)
async def test_a_rule_may_go_on_without_it(step: str, cache: LocalCache) -> None:
    rules = (
        "spec: {policy: {rules: [{when: \"{{ output.error.kind == 'credential' }}\", then: {do: continue}}]}}"
    )
    document = DECLARED + f"- {{step: a, {step.replace('RULES', rules)}}}\n"

    stage = await played(document, cache, credentials=MemoryCredentials())

    assert stage.results["a"]["error"]["message"] == "credential 'gh' is nowhere"


async def test_one_that_is_never_reached_is_never_asked_for(cache: LocalCache) -> None:
    credentials = MemoryCredentials()
    document = DECLARED + (
        "- {step: a, tool: {kind: act, say: 1}, next: [{step: b, when: '{{ false }}'}]}\n- {step: b, tool: {kind: act, auth: gh}}\n"
    )

    await played(document, cache, credentials=credentials)

    assert credentials.asked == []


async def test_a_secret_is_not_handed_to_a_child(cache: LocalCache) -> None:
    """A step's input goes to every task: what reaches a child's would stand in its request."""
    wait = Child(path="child", version=None, input={"t": CANARY}, identity="")
    document = DECLARED + "- {step: a, tool: {kind: act, say: '{{ keychain.gh.token }}'}}\n"

    failed = (
        await played(document, cache, Act(does=lambda _: Park(wait=wait)), MemoryCredentials(HELD))
    ).outcome

    assert failed.error.kind == "credential"
    assert "would hand a secret to 'child'" in failed.error.message


def stored(folder: Path) -> list[str]:
    """Everything that was written there."""
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


class Leaky:
    """A tool that gives its secret away in every way that a result or an error has."""

    @staticmethod
    def result(call: Call) -> Any:
        said = call.config.say
        return {
            "plain": said,
            "inside": f"https://x/?t={said}&y",
            "url": quote(said, safe=""),
            "json": json.dumps({"t": said}),
            "base64": b64encode(said.encode()).decode(),
            said: [said],
        }

    @staticmethod
    def error(call: Call) -> Any:
        raise ToolError(
            f"no luck with {call.config.say}",
            kind="auth",
            code=call.config.say,
            trace=call.config.say,
            value={"t": call.config.say},
        )

    @staticmethod
    def fault(call: Call) -> Any:
        raise RuntimeError(f"token {call.config.say}")


@pytest.mark.parametrize("does", [Leaky.result, Leaky.error, Leaky.fault])
async def test_no_canary_shows_in_events_results_errors_or_logs(
    does: Any,
    cache: LocalCache,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """I9, as far as a worker reaches: raw, Base64, URL-encoded and JSON-escaped."""
    document = DECLARED + (
        "- step: a\n  input: {copy: '{{ keychain.gh.token }}'}\n"
        "  tool: {kind: act, say: '{{ keychain.gh.token }}', set: {ctx.x: '{{ input.copy }}', ctx.y: '{{ result }}'}}\n"
        "  set: {ctx.z: '{{ a }}'}\n"
    )
    with caplog.at_level(logging.DEBUG):
        stage = await played(document, cache, Act(does=does), MemoryCredentials(HELD))

    shown = [encode(each).decode("utf-8", "replace") for each in stage.outcomes]
    shown += [repr(each) for each in (*stage.outcomes, *stage.offers, stage.log.plan, *stage.act.calls)]
    shown += [repr(stage.ctx), repr(stage.results), caplog.text, *capsys.readouterr()]
    shown += stored(tmp_path)
    forms = (CANARY, b64encode(CANARY.encode()).decode(), quote(CANARY, safe=""), json.dumps(CANARY)[1:-1])
    assert "[keychain.gh]" in "".join(shown)
    assert not [form for form in forms for each in shown if form in each]


class TestSecret:
    SECRET = Secret("gh", {"token": CANARY})

    def test_it_shows_its_alias_alone(self) -> None:
        assert repr(self.SECRET) == "<secret gh>"
        assert repr([self.SECRET]) == "[<secret gh>]"

    @pytest.mark.parametrize(
        "way",
        [str, "{}".format, json.dumps, orjson.dumps, pickle.dumps, copy.copy, copy.deepcopy, vars, dict],
    )
    def test_it_is_written_down_in_no_way(self, way: Any) -> None:
        with pytest.raises(TypeError) as refused:
            way(self.SECRET)

        assert CANARY not in str(refused.value)


class TestMask:
    def test_what_is_no_secret_stays(self) -> None:
        mask = Mask()
        mask.cover(Secret("pg", {"user": "postgres", "host": "db.example", "password": "pa55word"}))

        assert mask.value({"x": "postgres at db.example: pa55word"}) == {
            "x": "postgres at db.example: [keychain.pg]"
        }

    @pytest.mark.parametrize("encoded", [b64encode, urlsafe_b64encode])
    def test_base64_is_hidden_without_its_padding_too(self, encoded: Callable[[bytes], bytes]) -> None:
        mask = Mask()
        mask.cover(Secret("gh", "s3cr3t>>>???~"))
        said = encoded(b"s3cr3t>>>???~").decode()

        assert said.endswith("=")
        assert mask.text(f"{said} {said.rstrip('=')}") == "[keychain.gh] [keychain.gh]"

    def test_a_login_s_base64_is_a_secret_too(self) -> None:
        mask = Mask()
        mask.cover(Secret("pg", {"username": "u", "password": "pa55word"}))

        assert mask.text("Basic dTpwYTU1d29yZA==") == "Basic [keychain.pg]"

    def test_without_secrets_a_value_is_the_very_same(self) -> None:
        value = {"x": ["y"]}

        assert Mask().value(value) is value


async def test_credentials_are_asked_for_again_at_every_try(cache: LocalCache) -> None:
    credentials = MemoryCredentials(HELD)
    tries = iter((False, True))

    def does(call: Call) -> Any:
        if not next(tries):
            raise ToolError("refused", kind="auth", status=401)
        return "in"

    document = DECLARED + "- {step: a, tool: {kind: act, auth: gh, retry: {max_attempts: 2}}}\n"
    stage = await played(document, cache, Act(does=does), credentials)

    assert unmarked(stage.results["a"]) == "in"
    assert [each.alias for each in credentials.asked] == ["gh", "gh"]


@pytest.mark.parametrize(
    ("status", "asked", "said"), [(401, 2, "Bearer new"), (403, 1, None), (None, 1, None)]
)
async def test_a_refused_credential_is_doubted_and_the_next_try_gets_another(
    status: int | None, asked: int, said: str | None, cache: LocalCache
) -> None:
    tokens = ["old"]

    class Renewing:
        async def resolve(self, wanted: Wanted) -> Secret:
            return Secret(wanted.alias, {"token": tokens[-1]}, on_doubt=lambda: tokens.append("new"))

    def does(call: Call) -> Any:
        if call.config.say == "Bearer old":
            raise ToolError("refused", kind="auth", status=status)
        return len(call.config.say)

    act = Act(does=does)
    rules = "spec: {policy: {rules: [{when: \"{{ output.status == 'error' and output.error.status == 401 }}\", then: {do: retry, attempts: 2}}]}}"
    document = f"- {{step: a, tool: {{kind: act, say: 'Bearer {{{{ keychain.gh.token }}}}', {rules}}}}}\n"

    await played(DECLARED + document, cache, act, Renewing())

    assert len(act.calls) == asked
    assert (said in act.said) == (said is not None)


async def test_a_declaration_is_given_those_that_it_names_and_the_playbook_s_hosts(cache: LocalCache) -> None:
    credentials = MemoryCredentials({"app": {"client_id": "x"}, "api": {"token": CANARY}})
    document = (
        "policy: {network: {allow: [login.example.org]}}\n"
        "keychain: [{name: app, kind: credential}, {name: api, kind: oauth2, auth: app, endpoint: 'https://login.example.org/t'}]\n"
        "workflow: [{step: a, tool: {kind: act, auth: api}}]\n"
    )

    await played(document, cache, credentials=credentials)

    first, wanted = credentials.asked
    assert (first.alias, wanted.alias, wanted.hosts) == ("app", "api", ("login.example.org",))
    assert {alias: each.reveal() for alias, each in wanted.given.items()} == {"app": {"client_id": "x"}}


async def test_a_task_may_ask_for_a_version_and_a_scope(cache: LocalCache) -> None:
    credentials = MemoryCredentials({"pg_main": "x"})
    document = "- {step: a, tool: {kind: act, auth: {credential: pg_main, version: 3, scope: local}}}\n"

    await played(document, cache, credentials=credentials)

    (wanted,) = credentials.asked
    assert (wanted.alias, wanted.tenant) == ("pg_main", "default")
    assert (wanted.settings["version"], wanted.settings["scope"]) == (3, "local")
