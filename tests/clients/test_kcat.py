"""kcat, the command-line client from the system's packages, built on an older librdkafka."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from tests.contract.clients import fresh

KCAT = shutil.which("kcat") or shutil.which("kafkacat") or ""

pytestmark = pytest.mark.skipif(not KCAT, reason="no `kcat` on the PATH (apt-get install kcat)")


@dataclass(frozen=True, slots=True)
class Kcat:
    """kcat, pointed at one broker."""

    bootstrap: str

    def __call__(self, *arguments: str, typed: str = "") -> str:
        """What it prints, given `typed` on its standard input; it must succeed."""
        command = [KCAT, "-b", self.bootstrap, *arguments]
        run = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=30, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture
def kcat(bootstrap: str) -> Kcat:
    return Kcat(bootstrap)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_is_typed_is_read_again(kcat: Kcat, codec: str) -> None:
    topic, typed = fresh("kcat"), "".join(f"k{i}:value {i}\n" for i in range(100))
    kcat("-P", "-t", topic, "-K:", "-z", codec, "-X", "linger.ms=50", typed=typed)

    assert kcat("-C", "-t", topic, "-e", "-q", "-K:") == typed
    assert kcat("-C", "-t", topic, "-e", "-q", "-o", "-2", "-f", "%o %s|") == "98 value 98|99 value 99|"


def test_headers_tombstones_and_times_are_kept(kcat: Kcat) -> None:
    topic = fresh("kcat")
    kcat("-P", "-t", topic, "-K:", "-Z", "-H", "from=here", typed="key:\n")

    assert kcat("-C", "-t", topic, "-e", "-q", "-Z", "-f", "%k %s %h") == "key NULL from=here"


def test_topics_and_brokers_are_listed(kcat: Kcat) -> None:
    topic = fresh("kcat")
    kcat("-P", "-t", topic, typed="a line\n")

    listed = json.loads(kcat("-L", "-J", "-t", topic))

    [described] = listed["topics"]
    [partition] = described["partitions"]
    assert described["topic"] == topic
    assert partition["leader"] in {broker["id"] for broker in listed["brokers"]}


def test_offsets_are_found(kcat: Kcat) -> None:
    topic = fresh("kcat")
    kcat("-P", "-t", topic, typed="one\ntwo\n")

    assert kcat("-Q", "-t", f"{topic}:0:-1").split() == [topic, "[0]", "offset", "2"]


def test_a_balanced_consumer_reads_on_where_its_group_has_stopped(kcat: Kcat) -> None:
    topic, group = fresh("kcat"), fresh("group")
    reading = ("-G", group, "-q", "-e", "-X", "auto.offset.reset=earliest", topic)
    kcat("-P", "-t", topic, typed="one\ntwo\n")
    assert kcat(*reading) == "one\ntwo\n"

    kcat("-P", "-t", topic, typed="three\n")
    assert kcat(*reading) == "three\n"
