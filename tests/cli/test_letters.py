"""`dlq`: what was refused is listed with its reason, shown byte for byte, and asked again under its own identity."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.cli.commands import written
from tests.cli.conftest import Up

pytestmark = pytest.mark.slow

LATE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: late, path: {path}}}
workflow:
  - {{step: echo, tool: {{kind: noop, result: "{{{{ workload.n }}}}"}}}}
"""


class Refused:
    """Requests for a playbook that nobody has registered yet."""

    def __init__(self, up: Up) -> None:
        self.up, self.path = up, f"letters/{uuid.uuid4().hex[:8]}"
        self.mine = f"playbook == '{self.path}'"

    async def send(self, *values: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.up.bootstrap) as producer:
            for value in values:
                await producer.send_and_wait("noetl.requests", value, key=b"k", headers=headers or [])

    def request(self, n: int, **more: str) -> bytes:
        return json.dumps({"playbook": self.path, "payload": {"n": n}} | more).encode()

    async def letters(self, count: int, where: str | None = None, *more: str) -> list[dict[str, Any]]:
        """Those that stand, once they are so many."""
        async with asyncio.timeout(40):
            while True:
                asked = ("dlq", "list", "--where", where or self.mine, "--json", *more)
                found = (await asyncio.to_thread(self.up, *asked)).json()
                if len(found) == count:
                    return found  # type: ignore[no-any-return]

    def redrive(self, *arguments: object) -> list[dict[str, Any]]:
        ended = self.up("dlq", "redrive", *arguments, "--json")
        assert ended.code == 0, ended.err
        return ended.json()  # type: ignore[no-any-return]

    def register(self, folder: Path) -> None:
        assert self.up("register", written(folder, "late.yaml", LATE.format(path=self.path))).code == 0


@pytest.fixture
def refused(up: Up) -> Refused:
    return Refused(up)


async def test_what_came_too_early_is_asked_again_in_bulk_once_it_can_be_done(
    refused: Refused, up: Up, tmp_path: Path
) -> None:
    await refused.send(refused.request(1), refused.request(2, idempotency_key="two"))
    first, second = await refused.letters(2)
    assert first["reason"].startswith(f"no playbook '{refused.path}' is in the catalog")
    assert (first["key"], first["origin"]["topic"], first["redriven"]) == ("k", "noetl.requests", False)

    refused.register(tmp_path)
    dry = refused.redrive("--where", refused.mine, "--dry-run")
    assert [each["fate"] for each in dry] == ["redriven", "redriven"]
    assert len(await refused.letters(2)) == 2

    fates = refused.redrive("--where", refused.mine)
    results = [(await up.ended(each["execution_id"]))["results"]["echo"] for each in fates]
    assert (results, [each["execution_id"] for each in fates]) == (
        [1, 2],
        [each["execution_id"] for each in dry],
    )
    assert await refused.letters(0) == []
    again = refused.redrive(first["offset"], second["offset"])
    assert [(each["fate"], each["execution_id"]) for each in again] == [
        ("done", each["execution_id"]) for each in fates
    ]


async def test_one_that_is_refused_again_keeps_the_identity_of_its_first_place(
    refused: Refused, up: Up, tmp_path: Path
) -> None:
    await refused.send(refused.request(3))
    [first] = await refused.letters(1)
    [early] = refused.redrive(first["offset"])
    [_, second] = await refused.letters(2, None, "--all")
    assert second["origin"]["offset"] > first["origin"]["offset"]

    refused.register(tmp_path)
    [fate] = refused.redrive(second["offset"])

    assert fate["execution_id"] == early["execution_id"]
    assert (await up.ended(fate["execution_id"]))["results"]["echo"] == 3


async def test_a_record_keeps_its_bytes_and_headers_and_what_is_no_request_stays_where_it_is(
    refused: Refused, up: Up
) -> None:
    await refused.send(b"\xff\x00 no request", headers=[("from", b"here"), ("mark", refused.path.encode())])
    [letter] = await refused.letters(1, "playbook is none and 'neither' in reason")
    shown = up("dlq", "show", letter["offset"]).json()
    assert shown["value"] == "0xff00206e6f2072657175657374"
    assert shown["headers"] == [["from", "here"], ["mark", refused.path]]

    [fate] = refused.redrive(letter["offset"])
    assert (fate["fate"], fate["execution_id"]) == ("not a request", None)
    assert "this is neither" in fate["note"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("redrive",), "name the letters by their offsets or by --where; --where true means all"),
        (("redrive", "99999"), "no dead letter stands at offset 99999"),
        (("show", "99999"), "no dead letter stands at offset 99999"),
        (("list", "--where", "resaon == 1"), "a letter has no 'resaon'; did you mean 'reason'?"),
        (("list", "--where", "reason =="), "--where reason ==: "),
    ],
)
def test_what_cannot_be_read_is_told_with_what_to_do(
    up: Up, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = up("dlq", *arguments)

    assert ended.code == 2
    assert sentence in ended.err
