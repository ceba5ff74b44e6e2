"""I9: secrets that a whole installation uses in every way a playbook can, and that are then found on no surface of it.

What is looked through: every record of every topic, the cache's and all other files, the process's own log, and what the
command line answers; for each canary as it is, in Base64 wherever in a longer text it stands, URL-encoded and JSON-escaped.
"""

from __future__ import annotations

import json
import os
import signal
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from noetl_stream.adapters.admin import ensure_topics, standing_topics
from noetl_stream.keychain.key_file import new_key_file
from noetl_stream.keychain.keys import Keys
from noetl_stream.keychain.sealing import Name
from noetl_stream.keychain.standing import Standing
from noetl_stream.keychain.topic import KeychainTopic
from noetl_stream.settings import Settings
from noetl_stream.wire.topics import Topic
from tests.cli.commands import noetl
from tests.integration.client import Client, connected
from tests.integration.conftest import settings_at
from tests.integration.processes import end, roles
from tests.tools.http_server import Site, serving

pytestmark = pytest.mark.slow

TOKEN = 'canary/T0ken+é="&\\ 4'
PASSWORD = "canary-Passw0rd~~>>??"
IN_ADDRESS = "canary-1n-addr3ss"
KEY_LINES = ("canaryLineOne0123456789+/ABCDEFGH", "canaryLineTwo9876543210/+HGFEDCBA")
CANARIES = (TOKEN, PASSWORD, IN_ADDRESS, *KEY_LINES)
KEYCHAIN: Mapping[str, str | Mapping[str, Any]] = {
    "gh": TOKEN,
    "pg": {"host": "db", "username": "etl", "password": PASSWORD},
    "dsn": {"url": f"postgres://etl:{IN_ADDRESS}@db/x"},
    "pem": {"private_key": "-----BEGIN KEY-----\n" + "\n".join(KEY_LINES) + "\n-----END KEY-----\n"},
}
HEAD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: NAME, path: canaries/NAME}
keychain:
- {name: gh, kind: secret_manager}
- {name: pg, kind: credential}
- {name: dsn, kind: credential}
- {name: pem, kind: credential}
- {name: b, kind: bearer, token: "{{ keychain.gh }}"}
workflow:
"""
WELL: Mapping[str, str] = {
    "http": """
- step: a
  tool:
    kind: http
    method: POST
    url: "SITE/text?is={{ keychain.pg.password }}"
    headers: {Authorization: "Bearer {{ keychain.b.token | b64encode }}", X: "{{ keychain.pg.password }}"}
    json: {token: "{{ keychain.gh }}"}
  set: {ctx.kept: "{{ a.data }}"}
""",
    "sql": """
- step: a
  tool: {kind: duckdb, query: "select $p as p, repeat('x', 3) || $p as q, [$p] as l, {'s': $p} as s from range(3)", params: {p: "{{ keychain.gh }}"}}
- step: b
  tool: {kind: sqlite, query: "select :p as p", params: {p: "{{ keychain.pg.password }}"}}
""",
    "python": """
- step: a
  tool:
    kind: python
    input: {t: "{{ keychain.gh }}", p: "{{ keychain.pg.password }}", k: "{{ keychain.pem.private_key }}", u: "{{ keychain.dsn.url }}"}
    code: |
      import base64, json, sys
      print("token", t, repr(t), json.dumps(t), u)
      for line in k.splitlines():
          print(line, file=sys.stderr)
      encoded = [base64.b64encode(b"x" * n + t.encode() + b"tail").decode() for n in range(3)]
      result = {"t": t, t: "a key", "deep": [{"p": p}], "encoded": encoded, "line": k.splitlines()[1], "url": u,
                "lists": [[u.split("@")[0]]]}
""",
    "tables": """
- step: a
  tool:
    kind: python
    input: {t: "{{ keychain.gh }}", p: "{{ keychain.pg.password }}"}
    code: |
      import pyarrow as pa
      cells = {"text": [t, "x"], "bytes": [p.encode(), b"y"], "nested": [[t], []], "struct": [{"p": p}, {"p": None}], p: [1, 2]}
      result = {"table": pa.table(cells), "category": pa.table({"c": pa.array([t, t, "x"]).dictionary_encode()})}
""",
    "large": """
- step: a
  tool: {kind: python, input: {p: "{{ keychain.pg.password }}"}, code: "result = {'rows': [p + str(n) for n in range(20000)]}"}
""",
    "shell": """
- step: a
  tool: {kind: shell, command: ["sh", "-c", "echo $0; echo $0 >&2", "{{ keychain.pg.password }}"]}
""",
    "parked": """
- step: a
  tool:
  - {name: one, kind: python, input: {p: "{{ keychain.pg.password }}"}, code: "result = {'p': p}", set: {ctx.p: "{{ result.p }}"}}
  - {name: two, kind: wait, seconds: 3}
  - {name: three, kind: python, input: {o: "{{ one }}"}, code: "result = o"}
""",
}
BADLY: Mapping[str, str] = {
    "raised": """
- step: a
  tool: {kind: python, input: {t: "{{ keychain.gh }}"}, code: "raise ValueError(f'no luck with {t} and {t!r}')"}
""",
    "refused": """
- step: a
  tool: {kind: http, url: "SITE/status/401?X-Echo={{ keychain.pg.password }}", auth: gh, retry: {max_attempts: 2, delay: 3}}
""",
    "unreachable": """
- step: a
  tool: {kind: http, url: "http://{{ keychain.pg.password }}.invalid/{{ keychain.gh }}"}
""",
    "no-sql": """
- step: a
  tool: {kind: duckdb, query: "selct '{{ keychain.pg.password }}'"}
""",
    "shell-fails": """
- step: a
  tool: {kind: shell, command: "echo {{ keychain.pg.password }} >&2; exit 3"}
""",
    "child": """
- step: a
  tool:
  - {name: one, kind: python, input: {p: "{{ keychain.pg.password }}"}, code: "result = list(p)"}
  - {name: two, kind: playbook, path: canaries/python, input: {p: "{{ one | join }}"}}
""",
}


@pytest.mark.timeout(180)
async def test_no_canary_is_found_on_any_surface(
    embedded_bootstrap: str, tmp_path: Path, command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_at(embedded_bootstrap, tmp_path / "data")
    key = new_key_file(tmp_path / "key")
    monkeypatch.setenv("NOETL_STREAM_KEYCHAIN_KEY_FILE", str(tmp_path / "key"))
    settings = settings.model_copy(update={"keychain_key_file": tmp_path / "key", "allow_private": True})
    replies = f"replies-{settings.prefix}"
    with serving() as site:
        async with roles(command, settings) as started:
            async with connected(settings) as client:
                await filled(client, Keys(current=key))
                await ensure_topics(settings.bootstrap, [Topic(name=replies, partitions=1, replication=1)])
            process = await started.start("up")
            async with connected(settings) as client:
                ids = await carried_out(client, site, replies)
                found = [each async for each in topics_of(client, replies)]
            answers = [answer async for answer in answered(settings, ids)]
            await end(process, signal.SIGTERM)
        used = b"".join(repr(each).encode() for each in site.seen).decode("unicode_escape", "replace")
    surfaces = {**dict(found), **dict(answers), **dict(files_of(tmp_path))}

    assert PASSWORD in used
    everything = b"".join(surfaces.values())
    assert b"[keychain.pg]" in everything
    assert b"[keychain.gh]" in everything
    assert {
        where for where, content in surfaces.items() for each in CANARIES if shows(content, each)
    } == set()


async def filled(client: Client, keys: Keys) -> None:
    """The keychain, as the command line fills it."""
    platform = client.platform
    topic = KeychainTopic(
        platform.log, platform.reader, platform.topics.keychain.name, Standing(history=True)
    )
    for alias, value in KEYCHAIN.items():
        await topic.set(Name(tenant="default", alias=alias), value, type=None, actor="the test", keys=keys)


async def carried_out(client: Client, site: Site, replies: str) -> list[int]:
    """Every playbook run to its end, for replies: to a topic that there is, and to one that there is not."""
    executions: dict[str, int] = {}
    for name, steps in {**WELL, **BADLY}.items():
        text = HEAD.replace("NAME", name) + steps.replace("SITE", site.url)
        path = await client.register(text)
        to = replies if name != "shell" else "replies-nowhere"
        executions[name] = await client.ask(path, {}, reply_to=to)
    stories = {name: await client.story(each) for name, each in executions.items()}
    assert {name for name, story in stories.items() if story.status == "COMPLETED"} == set(WELL)
    return list(executions.values())


async def topics_of(client: Client, replies: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every record of every topic of the installation, as its readers get it."""
    settings, reader = client.platform.settings, client.platform.reader
    standing = await standing_topics(settings.bootstrap, settings.prefix, settings.timeout, settings.security)
    parts = [(topic.name, number) for topic in standing for number in range(topic.partitions)]
    for topic, number in [*parts, (replies, 0)]:
        records = reader.read(
            topic, number, await reader.begin(topic, number), await reader.end(topic, number)
        )
        async for each in records:
            whole = (each.key or b"") + b"\n" + (each.value or b"") + repr(each.headers).encode()
            yield f"{topic}[{number}]@{each.offset}", whole


async def answered(settings: Settings, ids: list[int]) -> AsyncIterator[tuple[str, bytes]]:
    """What the command line says of the keychain, and of the executions in one way or another."""
    asked: list[tuple[object, ...]] = [
        ("keychain", "list"),
        ("keychain", "show", "pg"),
        ("keychain", "audit"),
    ]
    ways: tuple[tuple[object, ...], ...] = (("status", "--resolve"), ("events",), ("replay",))
    asked += [(*way, execution) for execution, way in zip(ids, cycle(ways), strict=False)]
    chosen = {"prefix": settings.prefix, "keychain_key_file": settings.keychain_key_file}
    for arguments in asked:
        where = ("--bootstrap", settings.bootstrap, "--data", settings.data)
        ended = noetl(*arguments, *where, "--json", settings=chosen)
        assert ended.code == 0, ended.err
        yield " ".join(map(str, arguments)), (ended.out + ended.err).encode()


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The cache, scratch files and the process's log. The key file holds no canary either."""
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file), os.fsencode(file) + file.read_bytes()


def shows(content: bytes, canary: str) -> bool:
    return any(form in content for form in forms(canary))


def forms(canary: str) -> set[bytes]:
    """The spellings of I9, written down without looking at how the worker finds them."""
    raw, found = canary.encode(), {canary, quote(canary), quote(canary, safe=""), quote_plus(canary)}
    found |= {json.dumps(canary)[1:-1], json.dumps(canary, ensure_ascii=False)[1:-1]}
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            after = 3 - (before + len(raw)) % 3
            low, high = (encode(each * before + raw + each * after).decode() for each in (b"\0", b"\xff"))
            same = [one == other for one, other in zip(low, high, strict=True)]
            found.add(low[same.index(True) : len(same) - same[::-1].index(True)])
    return {each.encode() for each in found}


@pytest.mark.parametrize("canary", CANARIES)
def test_what_is_looked_for_is_found_where_it_stands(canary: str) -> None:
    """The search itself must be able to fail."""
    raw = canary.encode()
    for before in (b"", b"x", b"xy"):
        assert shows(b"..." + b64encode(before + raw + b"tail") + b"...", canary)
        assert shows(urlsafe_b64encode(before + raw), canary)
    assert shows(json.dumps({"x": canary}).encode(), canary)
    assert shows(f"?a={quote_plus(canary)}".encode(), canary)
    assert not shows(b"[keychain.gh]", canary)
