"""Apache Kafka's own command-line tools, on the JVM here, from the same Maven repository as its broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from types import TracebackType
from typing import Self

from tests.kafka_cluster import jvm_jars
from tests.kafka_node import java_command

TOPICS = "org.apache.kafka.tools.TopicCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand"
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand"
CLUSTER_ID = "org.apache.kafka.tools.ClusterTool cluster-id"
API_VERSIONS = "org.apache.kafka.tools.BrokerApiVersionsCommand"
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCER_PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"

_PATIENCE = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaTools:
    """The tools of one release, pointed at one broker."""

    bootstrap: str
    jars: Path

    def run(self, tool: str, *arguments: str, typed: str = "") -> str:
        """What the tool prints, given `typed` on its standard input.

        Raises:
            AssertionError: it failed; the message has what it said.
        """
        command = self._command(tool, *arguments)
        run = subprocess.run(
            command, input=typed, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        assert run.returncode == 0, (
            f"{tool} {arguments} ended with {run.returncode}: {run.stdout}{run.stderr}"
        )
        return run.stdout

    def consumer(self, *arguments: str) -> JavaConsumer:
        """A member of a consumer group that goes on until it is killed."""
        return JavaConsumer(self._command(VERIFIABLE_CONSUMER, *arguments))

    def _command(self, tool: str, *arguments: str) -> list[str]:
        return [*java_command(self.jars), *tool.split(), "--bootstrap-server", self.bootstrap, *arguments]


class JavaConsumer:
    """A running consumer, and the partitions it holds by what it prints. Leaving its `with` kills it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdout=PIPE, stderr=DEVNULL, text=True)
        self.held: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_until_it_holds(self, *counts: int) -> None:
        """Return once it holds one of these numbers of partitions."""
        assert self._process.stdout is not None
        while len(self.held) not in counts:
            event = json.loads(self._process.stdout.readline() or "null")
            assert event is not None, "the consumer ended by itself"
            partitions = {place["partition"] for place in event.get("partitions", ())}
            if event["name"] == "partitions_assigned":
                self.held |= partitions
            elif event["name"] == "partitions_revoked":
                self.held -= partitions


def find_tools(bootstrap: str) -> JavaTools:
    """The newest release's tools that can be had.

    Raises:
        ServerMissing: there is no JVM here, or Maven cannot fetch them.
    """
    _, jars = jvm_jars("kafka-tools")
    return JavaTools(bootstrap=bootstrap, jars=jars)
