"""Putting the parts together: one place where adapters meet the services that know only ports."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from noetl_stream.adapters.admin import committed_offsets, ensure_topics
from noetl_stream.adapters.catalog import KafkaCatalog
from noetl_stream.adapters.checkpoints import KafkaCheckpoints
from noetl_stream.adapters.dead_letters import DeadLetters
from noetl_stream.adapters.fact_log import KafkaFactLog
from noetl_stream.adapters.kafka_log import KafkaAppender, KafkaReader
from noetl_stream.adapters.plans import CatalogPlans
from noetl_stream.adapters.schema_topic import SchemaTopic
from noetl_stream.adapters.security import Security
from noetl_stream.adapters.user_kafka import UserKafka
from noetl_stream.adapters.versions import Entry
from noetl_stream.cache.disk import OwnFolder
from noetl_stream.cache.open import open_cache
from noetl_stream.cache.patient import PatientCache
from noetl_stream.core.events import BlockId
from noetl_stream.core.messages import Offer, StopBlocks
from noetl_stream.core.plan import Plan
from noetl_stream.dsl.compiler import compile_playbook
from noetl_stream.errors import NoetlError
from noetl_stream.ids import identity
from noetl_stream.intake import Intake
from noetl_stream.orchestrator.delivery import Delivery
from noetl_stream.orchestrator.orchestrator import Group, Orchestrator
from noetl_stream.orchestrator.restore import Restorer
from noetl_stream.ports.brokers import Cluster
from noetl_stream.ports.chores import Chores
from noetl_stream.ports.credentials import Credentials
from noetl_stream.ports.frames import Sweepable
from noetl_stream.ports.log import Record
from noetl_stream.ports.tools import Tool
from noetl_stream.settings import Settings, this_host
from noetl_stream.tools.builtin import Means, builtin_tools, kinds
from noetl_stream.tools.container.runtime import Runtime
from noetl_stream.tools.http.client import GuardedClient
from noetl_stream.tools.kafka.address import Reach
from noetl_stream.tools.system import POOL, System
from noetl_stream.tools.warm.pool import WarmPool
from noetl_stream.tools.warm.process import Limits
from noetl_stream.wire.codec import decode, decode_offer, registry
from noetl_stream.wire.topics import Topics
from noetl_stream.worker.worker import Worker


@dataclass(slots=True)
class Neighbours:
    """The workers of this process, by block topic, and whether each holds a partition of it now."""

    workers: dict[str, tuple[Worker, Callable[[int], bool]]] = field(default_factory=dict)

    def offered(self, topic: str, partition: int, offer: Offer) -> None:
        """An offer is on its way: whoever in this process would get it may begin."""
        neighbour = self.workers.get(topic)
        if neighbour is not None and neighbour[1](partition):
            neighbour[0].overhear(offer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Open connections to one installation, shared by all roles in this process."""

    settings: Settings
    security: Security
    topics: Topics
    log: KafkaAppender
    replies: KafkaAppender
    facts: KafkaFactLog
    neighbours: Neighbours
    reader: KafkaReader
    schemas: SchemaTopic
    catalog: KafkaCatalog
    plans: CatalogPlans
    cache: Sweepable
    dead_letters: DeadLetters

    async def refuse(self, record: Record, reason: str) -> None:
        """Set a record aside."""
        await self.dead_letters.put(record, reason)


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Create the topics that are missing, register our schemas, read the catalog. `settings.bootstrap` must be set.

    Raises InfrastructureError if no broker answers within `settings.timeout`.
    """
    topics, security = settings.topics, settings.security
    await ensure_topics(settings.bootstrap, topics.all(settings.pools), settings.timeout, security)
    async with AsyncExitStack() as stack:
        log = await KafkaAppender.open(settings.bootstrap, security=security)
        stack.push_async_callback(log.close)
        replies = await KafkaAppender.open(settings.bootstrap, security=security)
        stack.push_async_callback(replies.close)
        reader = KafkaReader(settings.bootstrap, security=security)
        stack.push_async_callback(reader.close)
        schemas = SchemaTopic(log, reader, topics.schemas.name, registry())
        await schemas.publish()
        catalog = await KafkaCatalog.open(log, reader, topics.catalog.name, compiler(settings))
        stack.push_async_callback(catalog.close)
        cache = await cache_of(settings)
        stack.push_async_callback(cache.close)
        yield Platform(
            settings=settings,
            security=security,
            topics=topics,
            log=log,
            replies=replies,
            facts=KafkaFactLog(log, topics.events),
            neighbours=Neighbours(),
            reader=reader,
            schemas=schemas,
            catalog=catalog,
            plans=CatalogPlans(catalog),
            cache=cache,
            dead_letters=DeadLetters(log, topics.dead_letters.name),
        )


async def cache_of(settings: Settings) -> Sweepable:
    """The shared cache, known to work. Raises InvalidRequest or InfrastructureError as `open_cache` does."""
    return await open_cache(
        settings.cache_place,
        tier=settings.data / "tier",
        tier_bytes=settings.cache_tier_bytes,
        options=settings.cache_options,
        within=settings.timeout,
    )


def compiler(settings: Settings) -> Callable[[Entry], Plan]:
    """Compiles catalog entries with the tools that are installed here."""
    known, environment = kinds(), settings.visible_environment()

    def compile_entry(entry: Entry) -> Plan:
        compiled = compile_playbook(
            entry.text,
            file=entry.path,
            kinds=known,
            version=entry.version,
            digest=entry.digest,
            catalog_offset=entry.offset,
            pools=settings.pools,
        )
        metadata = {**compiled.plan.metadata, "spec": compiled.kept.get("spec")}
        return replace(compiled.plan, metadata=metadata, environment=environment)

    return compile_entry


def new_intake(platform: Platform) -> Intake:
    return Intake(
        facts=platform.facts,
        plans=platform.plans,
        refuse=platform.refuse,
        refresh=platform.catalog.catch_up,
        reply_allowed=platform.settings.reply_allowed,
        tenant=platform.settings.tenant,
    )


def new_orchestrator(platform: Platform, group: Group) -> Orchestrator:
    restorer = Restorer(
        log=platform.log,
        reader=platform.reader,
        checkpoints=KafkaCheckpoints(platform.log, platform.reader, platform.topics.checkpoints.name),
        plans=platform.plans,
        topic=platform.topics.events.name,
        name=process_name("orchestrator"),
        learn_schemas=platform.schemas.catch_up,
    )
    delivery = Delivery(
        log=platform.log,
        replies=platform.replies,
        facts=platform.facts,
        reader=platform.reader,
        plans=platform.plans,
        cache=platform.cache,
        topics=platform.topics,
        nearby=platform.neighbours.offered,
        refresh=platform.catalog.catch_up,
    )
    orchestrator = Orchestrator(
        restorer=restorer,
        delivery=delivery,
        group=group,
        dead_letter=platform.refuse,
    )
    platform.facts.listener = orchestrator.overhear
    return orchestrator


async def orchestrator_offsets(platform: Platform) -> Mapping[int, int]:
    """The orchestrators' committed offsets in the event log."""
    group, topic = platform.settings.group("orchestrator"), platform.topics.events.name
    return await committed_offsets(platform.settings.bootstrap, group, topic, security=platform.security)


def new_worker(platform: Platform, pool: str, tools: Mapping[str, Tool], credentials: Credentials) -> Worker:
    return Worker(
        name=process_name(f"worker.{pool}"),
        slots=platform.settings.slots,
        plans=platform.plans,
        tools=_tools_of(pool, tools),
        cache=PatientCache(platform.cache),
        facts=platform.facts,
        credentials=credentials,
    )


def _tools_of(pool: str, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
    """What the workers of a pool have: the installation's own chores are for one of them alone."""
    return {kind: tool for kind, tool in tools.items() if kind != System.kind or pool == POOL}


class Hinted(Protocol):
    """Whoever does something for executions, and may leave off when they need it no more."""

    def stop_execution(self, execution: int) -> None: ...
    def stop_block(self, execution: int, block: BlockId, attempt: int) -> None: ...


async def heed(platform: Platform, hinted: Hinted) -> None:
    """Follow the control topic from its start: hints that executions are over. Correctness never waits for them."""
    topic = platform.topics.control.name
    async for record in platform.reader.read(topic, 0, await platform.reader.begin(topic, 0)):
        try:
            hint = decode(record.value or b"")
        except NoetlError:
            continue
        match hint:
            case StopBlocks(block=None):
                hinted.stop_execution(hint.execution)
            case StopBlocks(block=BlockId() as block):
                hinted.stop_block(hint.execution, block, hint.attempt)


@asynccontextmanager
async def open_tools(
    platform: Platform, chores: Chores, containers: Runtime | None = None
) -> AsyncIterator[Mapping[str, Tool]]:
    """The tools that are installed here, closed at the end."""
    settings = platform.settings
    own = OwnFolder(settings.scratch)
    scratch = own.path()
    limits = Limits(memory_bytes=settings.task_memory, cpu_seconds=settings.task_cpu)
    pool = WarmPool(size=settings.processes, limits=limits, scratch=scratch)
    client = GuardedClient(allow_private=settings.allow_private)
    means = Means(
        pool=pool,
        client=client,
        cache=PatientCache(platform.cache),
        allow_private=settings.allow_private,
        files=settings.files,
        scratch=scratch,
        brokers=UserKafka(),
        kafka=_reach(settings),
        chores=chores,
        containers=containers,
        task_memory=settings.task_memory,
    )
    tools = builtin_tools(means)
    try:
        yield tools
    finally:
        for tool in tools.values():
            await tool.close()
        await client.close()
        await pool.close()
        own.close()


def _reach(settings: Settings) -> Reach:
    """What kafka tasks may reach: what their credentials name, and topics of our own cluster that are listed."""
    security = settings.security
    login = security.login
    own = Cluster(
        bootstrap=settings.bootstrap,
        tls=security.tls,
        mechanism=None if login is None else login.mechanism,
        username="" if login is None else login.username,
        password="" if login is None else login.password,
    )
    return Reach(
        prefix=settings.prefix, own=own, topics=settings.kafka_topics, allow_private=settings.allow_private
    )


async def read_offer(platform: Platform, record: Record) -> Offer | None:
    """A record of a block topic as an offer; None once it was set aside as unreadable."""
    try:
        return decode_offer(record.value or b"")
    except NoetlError:
        await platform.schemas.catch_up()
    try:
        return decode_offer(record.value or b"")
    except NoetlError as error:
        await platform.refuse(record, str(error))
        return None


def process_name(role: str) -> str:
    """A name that no other process has, nor an earlier one of this number."""
    return identity(role, this_host(), os.getpid(), secrets.token_hex(8)).hex()[:12]
