"""Where secrets hide beside plain text: in tables, in log lines, in longer texts that were encoded; and who used which."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pytest

from noetl_stream.cache.local import LocalCache
from noetl_stream.core.events import CredentialUse
from noetl_stream.errors import ToolError
from noetl_stream.ports.credentials import Secret, Wanted
from noetl_stream.worker.guarding import guard, guard_logs
from noetl_stream.worker.hydrate import hydrate
from noetl_stream.worker.masking import Mask
from tests.worker.stage import Act, on_stage

SECRET = "canary/5up3r+s3cr3t é"
SHOWN = "[keychain.gh]"


@pytest.fixture
def mask() -> Mask:
    mask = Mask()
    mask.cover(Secret("gh", SECRET))
    return mask


CELLS = {
    "text": pa.array([SECRET, "x", None]),
    "large text": pa.array([f"<{SECRET}>", "", "y"], pa.large_string()),
    "text view": pa.array([SECRET, "x", None], pa.string_view()),
    "bytes": pa.array([SECRET.encode(), b"\xff\xfe", None]),
    "category": pa.array([SECRET, SECRET, "x"]).dictionary_encode(),
    "list": pa.array([[SECRET], [], None]),
    "struct": pa.array([{"a": {"b": SECRET}}, {"a": None}, None]),
    "map": pa.array([[("k", SECRET)], [(SECRET, "v")], None], pa.map_(pa.string(), pa.string())),
}


class TestTables:
    @pytest.mark.parametrize("kind", CELLS)
    def test_a_cell_of_any_type_is_hidden_and_the_type_stays(self, kind: str, mask: Mask) -> None:
        table = pa.table({"n": [1, 2, 3], "cell": CELLS[kind]})

        hidden = mask.value(table)

        assert hidden.schema == table.schema
        assert hidden["n"] == table["n"]
        assert SECRET not in repr(hidden.to_pylist())
        assert SECRET.encode() not in b"".join(bytes(b) for b in buffers(hidden))
        assert SHOWN in str(hidden.to_pylist())
        assert hidden.to_pylist()[1]["n"] == 2

    def test_a_column_without_secrets_is_the_very_same(self, mask: Mask) -> None:
        table = pa.table({"a": ["x"] * 10, "b": [1.5] * 10})

        assert mask.value(table) is table

    def test_columns_names_and_what_a_schema_says_are_hidden(self, mask: Mask) -> None:
        table = pa.table({SECRET: [1]}).replace_schema_metadata({"from": SECRET})

        hidden = mask.value(table)

        assert hidden.column_names == [SHOWN]
        assert hidden.schema.metadata == {b"from": SHOWN.encode()}

    def test_a_slice_does_not_bring_the_rest_along(self, mask: Mask) -> None:
        table = pa.table({"a": [f"{SECRET}{n}" for n in range(10)]}).slice(2, 3)

        assert mask.value(table).to_pylist() == [{"a": f"{SHOWN}{n}"} for n in (2, 3, 4)]

    def test_a_frame_deep_in_a_value_is_hidden(self, mask: Mask) -> None:
        value = {"deep": [pl.DataFrame({"a": [SECRET]}), "x"]}

        assert mask.value(value)["deep"][0].to_pylist() == [{"a": SHOWN}]

    async def test_a_tool_s_table_is_stored_without_them(self, cache: LocalCache) -> None:
        stage = on_stage(
            "keychain: [{name: gh, kind: static, data: {token: canary-t0ken}}]\n"
            "workflow: [{step: a, tool: {kind: act, say: '{{ keychain.gh.token }}'}}]\n",
            cache,
            Act(does=lambda call: {"rows": pa.table({"t": [call.config.say] * 5000})}),
        )

        await stage.play()

        stored = (await hydrate(cache, stage.outcome.result["rows"])).arrow()
        assert set(stored["t"].to_pylist()) == {SHOWN}


def buffers(table: pa.Table) -> Iterator[Any]:
    for column in table.columns:
        for chunk in column.chunks:
            yield from (each for each in chunk.buffers() if each is not None)


class TestSpellings:
    @pytest.mark.parametrize("before", [b"", b"x", b"xy"])
    @pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
    def test_base64_of_a_longer_text_shows_nothing_of_it(
        self, before: bytes, encode: Any, mask: Mask
    ) -> None:
        text = encode(before + SECRET.encode() + b"tail").decode()

        hidden = mask.text(text)

        left = hidden.replace(SHOWN, "")
        assert SHOWN in hidden
        assert len(left) <= len(text) - len(SECRET.encode()) * 8 // 6 + 2

    @pytest.mark.parametrize(
        "spelt",
        [
            quote(SECRET),
            quote(SECRET, safe="").replace("%C3%A9", "%c3%a9").replace("%2F", "%2f").replace("%2B", "%2b"),
            repr(SECRET)[1:-1],
        ],
    )
    def test_it_is_hidden_as_programs_write_it(self, spelt: str, mask: Mask) -> None:
        assert mask.text(f"<{spelt}>") == f"<{SHOWN}>"

    def test_each_line_of_a_key_is_a_secret(self) -> None:
        mask = Mask()
        mask.cover(
            Secret("pem", {"key": "-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END X-----\n"})
        )

        assert mask.text("line 2: MIIEvQIBADANBgkqhkiG") == "line 2: [keychain.pem]"

    @pytest.mark.parametrize(
        "fields",
        [
            {"url": "postgres://etl:pa55%2Fword@db/x"},
            {"uri": "postgres://etl:pa55%2Fword@db/x"},
            {"endpoint": "host=db user=etl password=pa55/word dbname=x"},
            {"endpoint": "Server=db;PWD='pa55/word';"},
        ],
    )
    def test_a_password_inside_an_address_is_a_secret_by_itself(self, fields: dict[str, str]) -> None:
        mask = Mask()
        mask.cover(Secret("dsn", fields))

        assert mask.text("FATAL: pa55/word is wrong for etl") == "FATAL: [keychain.dsn] is wrong for etl"


class TestLogs:
    async def test_a_block_s_own_lines_are_hidden_and_nobody_else_s(
        self, mask: Mask, caplog: pytest.LogCaptureFixture
    ) -> None:
        guard_logs()
        log = logging.getLogger("somebody.else")

        async def block() -> None:
            guard(mask)
            log.warning("GET /?t=%s", SECRET)
            await asyncio.to_thread(log.warning, "in a thread: " + SECRET)
            try:
                raise ValueError(SECRET)
            except ValueError:
                log.exception("failed")

        await asyncio.create_task(block())
        log.warning("another block says %s", "harmless")

        assert SECRET not in caplog.text
        assert f"GET /?t={SHOWN}" in caplog.text
        assert f"ValueError: {SHOWN}" in caplog.text
        assert "another block says harmless" in caplog.text

    def test_guarding_twice_is_guarding_once(self) -> None:
        guard_logs()
        factory = logging.getLogRecordFactory()

        guard_logs()

        assert logging.getLogRecordFactory() is factory


class Numbered:
    """Gives each alias with a version."""

    async def resolve(self, wanted: Wanted) -> Secret:
        if wanted.alias == "none":
            raise ToolError("there is none", kind="credential")
        return Secret(
            wanted.alias, "canary-value", provider="keychain", version=3, source=f"the {wanted.alias}"
        )


class TestAudit:
    async def used(
        self, tasks: str, cache: LocalCache, act: Act | None = None
    ) -> list[tuple[CredentialUse, ...]]:
        stage = on_stage(f"- {{step: a, tool: {tasks}}}\n", cache, act or Act())
        stage.credentials = Numbered()
        await stage.play()
        return [outcome.credentials for outcome in stage.outcomes]

    USE = CredentialUse(alias="the gh", provider="keychain", version=3)

    async def test_an_outcome_names_what_its_tasks_resolved_once(self, cache: LocalCache) -> None:
        tasks = "[{name: x, kind: act, auth: gh}, {name: y, kind: act, auth: [gh, pg]}, {name: z, kind: act}]"

        (uses,) = await self.used(tasks, cache)

        assert uses == (self.USE, CredentialUse(alias="the pg", provider="keychain", version=3))

    async def test_a_failure_names_them_too(self, cache: LocalCache) -> None:
        def fails(call: Any) -> Any:
            raise ToolError("no luck", kind="auth")

        assert await self.used("{kind: act, auth: gh}", cache, Act(does=fails)) == [(self.USE,)]
        assert await self.used("{kind: act, auth: [gh, none]}", cache) == [(self.USE,)]

    async def test_who_uses_none_names_none(self, cache: LocalCache) -> None:
        assert await self.used("{kind: act}", cache) == [()]
