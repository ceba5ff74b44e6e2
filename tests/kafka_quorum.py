"""Three Apache Kafka nodes on this machine, each broker and controller, to be killed, paused and started again: in
containers where an engine answers, else on the JVM here."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.broker.client import RawClient
from tests.children import ServerMissing, free_port
from tests.kafka_cluster import IMAGE, Unavailable, as_environment, in_a_container, jvm_jars, require_engine
from tests.kafka_node import Node, NodeConfig, nodes_here, start_node

NODES = (1, 2, 3)
_DESCRIBE_QUORUM = 55
_LIMIT = 40.0


class Machine(Protocol):
    """One node, as a machine with a switch."""

    @property
    def listener(self) -> str:
        """Where clients reach it, up or not."""

    def crash(self) -> None:
        """End it at once; what it wrote stays."""

    def start(self) -> None:
        """Run it again on what it wrote."""

    def pause(self) -> None:
        """Leave it connected and silent."""

    def resume(self) -> None:
        """Let a paused one go on."""


@dataclass(frozen=True, slots=True)
class JvmMachine:
    """A process of this machine."""

    node: Node

    @property
    def listener(self) -> str:
        return self.node.config.listener

    def crash(self) -> None:
        self.node.child.kill()

    def start(self) -> None:
        self.node.child.start()

    def pause(self) -> None:
        self.node.child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.node.child.signal(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class ContainerMachine:
    """A container; its published port stays its own while it is down."""

    listener: str
    container: Any

    def crash(self) -> None:
        self.container.get_wrapped_container().kill()

    def start(self) -> None:
        self.container.get_wrapped_container().start()

    def pause(self) -> None:
        self.container.get_wrapped_container().pause()

    def resume(self) -> None:
        self.container.get_wrapped_container().unpause()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """A cluster of three. `stop` ends it and removes what it wrote."""

    machines: Mapping[int, Machine]
    origin: str
    stop: Callable[[], None]

    @property
    def bootstrap(self) -> str:
        return ",".join(machine.listener for machine in self.machines.values())

    async def whole(self) -> None:
        """Return once every node serves, and every partition has all its replicas in sync."""
        async with asyncio.timeout(_LIMIT):
            while True:
                if await self._is_whole():
                    return
                await asyncio.sleep(0.1)

    async def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition. Others must have been found `whole` before."""
        async with _admin(self.bootstrap) as admin:
            for found in await admin.describe_topics([topic]):
                for each in found["partitions"]:
                    if each["partition"] == partition:
                        return int(each["leader"])
        raise LookupError(f"{topic}[{partition}] has no leader")

    async def coordinator(self, group: str) -> int:
        """The node that coordinates a consumer group."""
        async with _admin(self.bootstrap) as admin:
            return int(await admin.find_coordinator(group))

    async def controller(self) -> int:
        """The node that leads the quorum of controllers. Metadata names just any broker instead."""
        asked = [{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}]
        async with RawClient(self.machines[NODES[0]].listener) as client:
            answer = await client.call(_DESCRIBE_QUORUM, 1, {"topics": asked})
        return int(answer.topics[0].partitions[0].leader_id)

    async def _is_whole(self) -> bool:
        try:
            async with _admin(self.bootstrap) as admin:
                cluster, topics = await admin.describe_cluster(), await admin.describe_topics()
        except (KafkaError, TimeoutError):
            return False
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        return len(cluster["brokers"]) == len(NODES) and all(
            len(each["isr"]) == len(each["replicas"]) for each in partitions
        )


@asynccontextmanager
async def crashed(machine: Machine) -> AsyncIterator[None]:
    """A machine that is gone for the block, and started again at its end."""
    await asyncio.to_thread(machine.crash)
    try:
        yield
    finally:
        await asyncio.to_thread(machine.start)


@asynccontextmanager
async def paused(machine: Machine, seconds: float) -> AsyncIterator[None]:
    """A machine that is silent for so long, which may end in the block or after it."""
    silence = asyncio.create_task(_silence(machine, seconds))
    try:
        yield
    finally:
        await silence


async def _silence(machine: Machine, seconds: float) -> None:
    await asyncio.to_thread(machine.pause)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(machine.resume)


def resolve_quorum() -> Quorum | Unavailable:
    """Three fresh nodes that accept connections, or why there are none.

    Raises:
        ChildFailed: all that Kafka needs is here, and yet a node did not start.
    """
    reasons = []
    for start in (_containers, _jvms):
        try:
            return start()
        except ServerMissing as missing:
            reasons.append(str(missing))
    return Unavailable("; ".join(reasons))


def _jvms() -> Quorum:
    version, jars = jvm_jars()
    with ExitStack() as undo, ThreadPoolExecutor(len(NODES)) as pool:
        nodes = list(pool.map(lambda config: _started(config, jars, undo), nodes_here(len(NODES))))
        for node in nodes:
            node.child.wait_until_ready()
        kept = undo.pop_all()
    machines = {node.config.node_id: JvmMachine(node) for node in nodes}
    return Quorum(
        machines=machines,
        origin=f"three nodes of {version}, its jars from Maven, on the JVM",
        stop=kept.close,
    )


def _started(config: NodeConfig, jars: Path, undo: ExitStack) -> Node:
    node = start_node(config, jars)
    undo.callback(node.child.remove)
    return node


def _containers() -> Quorum:
    """The official image three times, in a network of their own, with the settings of the nodes on the JVM."""
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.core.network import Network

    require_engine()
    try:
        with ExitStack() as undo:
            network = undo.enter_context(Network())
            names = {node: f"kafka-{node}-{free_port()}" for node in NODES}
            machines = {node: _container(node, names, network, undo) for node in NODES}
            kept = undo.pop_all()
    except (DockerException, OSError, RuntimeError) as error:
        raise ServerMissing(f"the container engine cannot run {IMAGE} ({str(error)[:160]})") from error
    return Quorum(machines=machines, origin=f"{IMAGE}, three containers", stop=kept.close)


def _container(node: int, names: Mapping[int, str], network: Any, undo: ExitStack) -> ContainerMachine:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(IMAGE)
    published = f"{container.get_docker_client().host()}:{free_port()}"
    container.with_bind_ports(9092, int(published.rpartition(":")[2]))
    container.with_network(network).with_name(names[node])
    container.with_envs(**as_environment(in_a_container(node, published, names)))
    undo.callback(container.stop)
    container.start()
    return ContainerMachine(published, container)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
