"""What a deployment may choose, and where it is said: the command line over the environment over the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from noetl_stream.settings import Settings, settings_from_environment


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"NOETL_STREAM_{name.upper()}", raising=False)


def test_every_setting_has_a_default_and_a_description() -> None:
    assert settings_from_environment() == Settings.model_validate({})
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bootstrap", "kafka:9092", "kafka:9092"),
        ("data", "/srv/noetl", Path("/srv/noetl")),
        ("partitions", "128", 128),
        ("timeout", "2.5", 2.5),
        ("allow_private", "true", True),
        ("pools", "default,gpu", ("default", "gpu")),
        ("pools", " default , gpu ,", ("default", "gpu")),
        ("environment", "", ()),
    ],
)
def test_a_setting_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"NOETL_STREAM_{name.upper()}", text)

    assert getattr(settings_from_environment(), name) == value


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOETL_STREAM_BOOTSTRAP", "from:1")
    monkeypatch.setenv("NOETL_STREAM_SLOTS", "3")

    settings = settings_from_environment(bootstrap="chosen:2", slots=None)

    assert (settings.bootstrap, settings.slots) == ("chosen:2", 3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("partitions", "many"),
        ("partitions", "0"),
        ("slots", "0"),
        ("replication", "0"),
        ("replication", "all"),
        ("pools", ","),
        ("pools", "gpu,gpu.high"),
        ("timeout", "0"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"NOETL_STREAM_{name.upper()}", text)

    with pytest.raises(ValidationError, match=name):
        settings_from_environment()


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="bootstrp"):
        settings_from_environment(bootstrp="kafka:9092")


@pytest.mark.parametrize(
    ("topics", "topic", "allowed"),
    [
        (("replies",), "replies", True),
        (("replies",), "replies.shop", False),
        (("replies", "shop.*"), "shop.orders", True),
        (("shop.*",), "shop", False),
        (("*",), "anything", True),
        (("*",), "noetl.events", False),
        (("noetl.events",), "noetl.events", False),
        (("*",), "__consumer_offsets", False),
        ((), "replies", False),
    ],
)
def test_replies_go_to_listed_topics_and_never_to_ours(
    topics: tuple[str, ...], topic: str, allowed: bool
) -> None:
    assert Settings.model_validate({"reply_topics": topics}).reply_allowed(topic) is allowed


def test_with_another_prefix_other_topics_are_ours() -> None:
    settings = Settings.model_validate({"prefix": "prod-", "reply_topics": ("*",)})

    assert (settings.reply_allowed("prod-events"), settings.reply_allowed("noetl.events")) == (False, True)
    assert settings.group("orchestrator") == "prod-orchestrator"
    assert settings.topics.events.name == "prod-events"


def test_templates_see_only_the_variables_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITY", "Oslo")
    monkeypatch.setenv("SECRET", "x")
    settings = Settings.model_validate({"environment": ("CITY", "ABSENT")})

    assert settings.visible_environment() == {"CITY": "Oslo"}


def test_the_cache_stands_in_the_data_folder_unless_it_is_placed_elsewhere() -> None:
    assert Settings.model_validate({"data": "d"}).cache_place == Path("d/cache")
    assert Settings.model_validate({"cache": "s3://bucket/x"}).cache_place == "s3://bucket/x"
