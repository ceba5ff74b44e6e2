"""The compose files start what the tests start: the same image, the same brokers, the same settings of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from noetl_stream.settings import Settings
from tests.kafka_cluster import IMAGE, as_environment, in_a_container
from tests.kafka_node import FOR_TESTS

ROOT = Path(__file__).parents[2]
ONE, THREE = ROOT / "docker-compose.yml", ROOT / "docker-compose.three.yml"
DEPLOYED = {"KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false", "KAFKA_LOG_DIRS": "/var/lib/kafka/data"}
BROKERS = {1: "kafka", 2: "kafka-2", 3: "kafka-3"}
ROLES = ("intake", "orchestrator", "worker")


def services(*files: Path) -> dict[str, dict[str, Any]]:
    """The services that these files come to, a later one over an earlier one as compose does it."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in YAML(typ="safe").load(file.read_text())["services"].items():
            mine = found.setdefault(name, {})
            for key, value in service.items():
                mine[key] = {**mine.get(key, {}), **value} if isinstance(value, dict) else value
    return found


def expected(node_id: int, published: str, names: dict[int, str]) -> dict[str, str]:
    """What a node of the tests has, without what only tests want."""
    environment = as_environment(in_a_container(node_id, published, names))
    for name in FOR_TESTS:
        del environment[as_variable(name)]
    return environment | DEPLOYED


def as_variable(name: str) -> str:
    return "KAFKA_" + name.upper().replace(".", "_")


def texts(environment: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in environment.items()}


def test_one_broker_is_set_up_as_the_tests_do_it() -> None:
    kafka = services(ONE)["kafka"]

    assert kafka["image"] == IMAGE
    assert texts(kafka["environment"]) == expected(1, "localhost:9092", {1: "kafka"})


def test_three_brokers_are_set_up_as_the_tests_do_it() -> None:
    found = services(ONE, THREE)

    for node_id, name in BROKERS.items():
        published = f"localhost:{found[name]['ports'][0].partition(':')[0]}"
        assert found[name]["image"] == IMAGE
        assert texts(found[name]["environment"]) == expected(node_id, published, BROKERS)
        assert found[name]["ports"][0].endswith(":9092")


def test_brokers_share_neither_ports_nor_volumes() -> None:
    brokers = [services(ONE, THREE)[name] for name in BROKERS.values()]

    for key in ("ports", "volumes"):
        assert len({broker[key][0] for broker in brokers}) == len(BROKERS)


@pytest.mark.parametrize(("files", "brokers"), [((ONE,), ["kafka"]), ((ONE, THREE), list(BROKERS.values()))])
def test_roles_wait_for_their_brokers_and_know_all_of_them(
    files: tuple[Path, ...], brokers: list[str]
) -> None:
    found = services(*files)

    for role in ROLES:
        assert list(found[role]["depends_on"]) == brokers
        assert found[role]["environment"]["NOETL_STREAM_BOOTSTRAP"] == ",".join(f"{b}:19092" for b in brokers)
        assert found[role]["command"][0] == role


@pytest.mark.parametrize("files", [(ONE,), (ONE, THREE)])
def test_roles_are_given_settings_that_exist(files: tuple[Path, ...]) -> None:
    for role in ROLES:
        named = services(*files)[role]["environment"]
        fields = {name.removeprefix("NOETL_STREAM_").lower() for name in named}
        assert fields <= set(Settings.model_fields)


def test_the_image_starts_the_command_as_a_user_who_may_write_what_compose_mounts() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    mounted = {volume.partition(":")[2] for role in ROLES for volume in services(ONE)[role]["volumes"]}

    assert 'ENTRYPOINT ["noetl-stream"]' in dockerfile
    assert "USER noetl" in dockerfile
    assert all(f"chown noetl /data {folder}" in dockerfile for folder in mounted)
