"""Bad input of every kind, on a worker with one slot: each execution ends with its error, and nothing is lost by any."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from obstore import put_async

from noetl_stream.adapters.admin import committed_offsets
from noetl_stream.adapters.user_kafka import UserKafka
from noetl_stream.broker.broker import EmbeddedBroker
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.users import Users
from noetl_stream.cache.local import UNFINISHED
from noetl_stream.core.lanes import LANES, in_lane
from noetl_stream.core.values import Error
from noetl_stream.ports.brokers import Cluster, Outgoing
from noetl_stream.replay.waiting import waiting
from noetl_stream.settings import Settings
from noetl_stream.tools.builtin import BUILTIN
from tests.cache.s3 import S3, s3_server
from tests.integration.client import LIMIT, Client, installed
from tests.integration.conftest import settings_at
from tests.integration.faults import FAULTS, SECRETS, Answer, Fault, Places
from tests.integration.processes import COMMAND, roles
from tests.nats_server import Server
from tests.tools.conftest import new_topic
from tests.tools.http_server import serving
from tests.tools.kubernetes_api import NAMESPACE, Api

pytestmark = pytest.mark.slow

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: NAME}\nworkflow:\n- {step: a, tool: TOOL}\n"
CHILDREN = {
    "fails": "{kind: python, code: 1 / 0}",
    "sleeps": "{kind: wait, seconds: 1000}",
    "quick": "{kind: noop, result: done}",
}


@pytest.mark.timeout(300)
async def test_each_ends_with_its_error_and_leaves_the_slot_free_and_nothing_behind(
    embedded_bootstrap: str,
    database: str,
    jetstream: Server,
    kubernetes: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_slot = settings_at(embedded_bootstrap, tmp_path / "data").model_copy(
        update={"slots": 1, "allow_private": True}
    )
    settings = one_slot.model_copy(
        update={"kubernetes": kubernetes.url, "kubernetes_namespaces": (NAMESPACE,)}
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("NOETL_STREAM_FILES", str(tmp_path / "files"))
    monkeypatch.setenv("NOETL_STREAM_TASK_MEMORY", str(4 << 30))
    monkeypatch.setenv("NOETL_STREAM_PROCESSES", "1")
    async with (
        places(embedded_bootstrap, database, jetstream.url, tmp_path) as here,
        installed(settings, "intake", "orchestrator") as client,
        roles(COMMAND, settings) as started,
    ):
        for name, tool in CHILDREN.items():
            await client.register(HEAD.replace("NAME", name).replace("TOOL", tool))
        worker = await started.start("worker")
        asked = [await begun(client, number, fault, here) for number, fault in enumerate(FAULTS)]
        ended = [(fault, await error_of(client, each)) for fault, each in zip(FAULTS, asked, strict=True)]
        quick = await client.story(await client.ask("quick"))
        left = sorted(each.name for each in temporary.iterdir())
        children = commands_below(worker.pid)
        await all_acknowledged(client, settings)
        letters = await client.letters()

    wrong = {fault.name: told for fault, told in ended if not as_told(fault, told, here)}
    assert wrong == {}
    assert (quick.status, letters, left) == ("COMPLETED", [], [])
    assert len(children) <= 1, children
    assert scratch_in(settings) == []
    assert not [told for _, told in ended for word in SECRETS if word in repr(told)]


def test_every_kind_that_can_fail_has_rows() -> None:
    assert {each.kind for each in FAULTS} == BUILTIN.keys() - {"noop", "wait"}


def as_told(fault: Fault, error: Error, here: Places) -> bool:
    return (error.step, error.kind, error.code) == ("task", fault.error, fault.code) and fault.says(
        error.message, here
    )


async def begun(client: Client, number: int, fault: Fault, here: Places) -> int:
    """An execution that must fail; if its task asks, it is answered."""
    path = f"faults/{number}"
    await client.register(fault.document(path, here))
    execution = await client.ask(path)
    if fault.answer is not None:
        await answered(client, execution, fault.answer)
    return execution


async def answered(client: Client, execution: int, answer: Answer) -> None:
    async with asyncio.timeout(4 * LIMIT):
        while True:
            async for each in waiting(client.platform.reader, client.platform.topics, execution):
                return await client.answer(each.token, answer.value, by=answer.by)


async def error_of(client: Client, execution: int) -> Error:
    await client.told(execution, limit=4 * LIMIT)
    story = await client.story(execution)
    assert story.end is not None
    assert story.end.error is not None, f"{execution} ended with {story.end.result}"
    return story.end.error


async def all_acknowledged(client: Client, settings: Settings) -> None:
    """Returns when every group has committed its topics' ends."""
    topics = client.platform.topics
    read = {"intake": topics.requests.name, "orchestrator": topics.events.name}
    read |= {in_lane("worker.default", lane): topics.blocks("default", lane).name for lane in LANES}
    async with asyncio.timeout(LIMIT):
        for group, topic in read.items():
            ends = await ends_of(client, topic)
            while ends != await committed_offsets(settings.bootstrap, settings.group(group), topic):
                ends = await ends_of(client, topic)


async def ends_of(client: Client, topic: str) -> Mapping[int, int]:
    """The end of each partition that has records."""
    ends = {number: await client.platform.reader.end(topic, number) for number in range(2)}
    return {number: end for number, end in ends.items() if end}


def commands_below(pid: int) -> list[str]:
    """The processes that a process has started, and theirs."""
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            found += [command, *commands_below(int(child))]
    return found


def scratch_in(settings: Settings) -> list[str]:
    """Files that were begun and are no result."""
    kept = ((settings.data / "cache" / UNFINISHED), settings.data / "scratch")
    files = (file for folder in kept for file in folder.rglob("*"))
    return [str(file) for file in files if file.is_file() and file.name != "lock"]


@asynccontextmanager
async def places(kafka: str, postgres: str, nats: str, folder: Path) -> AsyncIterator[Places]:
    """Servers and files that the tasks meet."""
    Users(folder / "guarded").set("ann", "s3cret-word")
    settings = BrokerSettings(fsync="none", sasl=True)
    topic = await new_topic(kafka, 1)
    await UserKafka().produce(Cluster(bootstrap=kafka), topic, [Outgoing(key=None, value=b"{", headers=[])])
    with serving() as site, s3_server() as s3, s3_server(demands_users=True) as strict:
        strict.new_bucket()
        async with EmbeddedBroker(folder / "guarded", settings=settings) as guarded:
            with unfriendly() as (dead, mute):
                yield Places(
                    site=site.url,
                    postgres=postgres,
                    nats=nats,
                    s3=s3.endpoint,
                    strict_s3=strict.endpoint,
                    bucket=await bucket_of(s3),
                    kafka=kafka,
                    guarded_kafka=guarded.bootstrap,
                    topic=topic,
                    files=str(files_in(folder)),
                    dead=dead,
                    mute=mute,
                )


@contextmanager
def unfriendly() -> Iterator[tuple[str, str]]:
    """An address that refuses every connection, and one that takes it and says nothing."""
    with socket.socket() as dead, socket.create_server(("127.0.0.1", 0)) as mute:
        dead.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{dead.getsockname()[1]}", f"127.0.0.1:{mute.getsockname()[1]}"


async def bucket_of(s3: S3) -> str:
    """A bucket with an object of a hundred bytes."""
    bucket = s3.new_bucket()
    await put_async(s3.store(bucket), "long", b"x" * 100)
    return bucket


def files_in(folder: Path) -> Path:
    """The folder that is open to tasks, with a link that leads out of it."""
    files = folder / "files"
    files.mkdir()
    (folder / "secret").write_text("s3cret-word")
    (files / "link").symlink_to(folder / "secret")
    (files / "text").write_text("plain text, and no database\n" * 10)
    (files / "rows.csv").write_text("a,b\n1,2\n")
    return files
