"""The requests about configuration: describe, replace, and change one setting at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.metadata import NODE_ID
from noetl_stream.broker.protocol import Fields, Request, outcome
from noetl_stream.broker.settings import BrokerSettings
from noetl_stream.broker.topic_config import DEFAULTS, SETTINGS, Setting, check_configs
from noetl_stream.broker.topics import Topics
from noetl_stream.commitlog.refusal import Refused

_SET_ON_TOPIC, _STATIC_BROKER, _DEFAULT = 1, 4, 5


class ResourceType(IntEnum):
    """Whose configuration is meant."""

    TOPIC = 2
    BROKER = 4


class Operation(IntEnum):
    """What IncrementalAlterConfigs does to a setting; the last two are for lists."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class ConfigRequests:
    """Answers the requests about settings. The broker's own are read-only."""

    def __init__(self, topics: Topics, settings: BrokerSettings) -> None:
        self._topics, self._settings = topics, settings

    async def describe(self, request: Request) -> Fields:
        return {"results": [self._description(resource) for resource in request.body.resources]}

    def _description(self, resource: Any) -> Fields:
        try:
            return {**_named(resource, ErrorCode.none, None), "configs": self._configs(resource)}
        except Refused as refused:
            return {**_named(resource, refused.code, refused.reason), "configs": []}

    def _configs(self, resource: Any) -> list[Fields]:
        wanted = resource.configuration_keys
        return [
            config for config in self._all_configs(resource) if wanted is None or config["name"] in wanted
        ]

    def _all_configs(self, resource: Any) -> list[Fields]:
        match resource.resource_type:
            case ResourceType.TOPIC:
                return described_configs(self._topics.topic(resource.resource_name).configs)
            case ResourceType.BROKER:
                return [
                    _config(name, value, _STATIC_BROKER) for name, value in self._broker_configs().items()
                ]
            case _:
                raise Refused(ErrorCode.invalid_request, "Only topics and brokers have a configuration here.")

    def _broker_configs(self) -> dict[str, str]:
        settings = self._settings
        return {
            "auto.create.topics.enable": str(settings.auto_create_topics).lower(),
            "default.replication.factor": "1",
            "group.initial.rebalance.delay.ms": str(int(settings.initial_rebalance_delay * 1000)),
            "group.max.session.timeout.ms": str(int(settings.max_session_timeout * 1000)),
            "group.min.session.timeout.ms": str(int(settings.min_session_timeout * 1000)),
            "num.partitions": str(settings.default_partitions),
            "socket.request.max.bytes": str(settings.max_request_bytes),
        }

    async def list_resources(self, request: Request) -> Fields:
        """What has a configuration: every topic, and this broker."""
        wanted = getattr(request.body, "resource_types", ()) or tuple(ResourceType)
        named = {
            ResourceType.TOPIC: [topic.name for topic in self._topics],
            ResourceType.BROKER: [str(NODE_ID)],
        }
        listed = [
            {"resource_name": name, "resource_type": int(kind)}
            for kind, names in named.items()
            if kind in wanted and request.version > 0
            for name in names
        ]
        return {"error_code": ErrorCode.none, "config_resources": listed}

    async def alter(self, request: Request) -> Fields:
        return await self._alter_all(request, _replacement)

    async def alter_incrementally(self, request: Request) -> Fields:
        return await self._alter_all(request, _change)

    async def _alter_all(self, request: Request, altered: _Alteration) -> Fields:
        responses = []
        for resource in request.body.resources:
            altering = self._alter(resource, altered, validate_only=request.body.validate_only)
            responses.append(_named(resource, *await outcome(altering)))
        return {"responses": responses}

    async def _alter(self, resource: Any, altered: _Alteration, *, validate_only: bool) -> None:
        if resource.resource_type != ResourceType.TOPIC:
            raise Refused(ErrorCode.invalid_request, "Only the configuration of topics can be changed here.")
        configs = altered(self._topics.topic(resource.resource_name).configs, resource.configs)
        check_configs(configs)
        if not validate_only:
            await self._topics.configure(resource.resource_name, configs)


_Alteration = Callable[[dict[str, str], Any], dict[str, str | None]]


def _replacement(_: dict[str, str], wanted: Any) -> dict[str, str | None]:
    return {config.name: config.value for config in wanted}


def _change(own: dict[str, str], wanted: Any) -> dict[str, str | None]:
    changed: dict[str, str | None] = dict(own)
    if len({config.name for config in wanted}) < len(wanted):
        raise Refused(ErrorCode.invalid_request, "A setting is changed twice in one request.")
    for config in wanted:
        listed = [
            item for item in (changed.get(config.name) or DEFAULTS.get(config.name, "")).split(",") if item
        ]
        match config.config_operation:
            case Operation.SET:
                changed[config.name] = config.value
            case Operation.DELETE:
                changed.pop(config.name, None)
            case Operation.APPEND:
                changed[config.name] = ",".join(dict.fromkeys((*listed, config.value)))
            case Operation.SUBTRACT:
                changed[config.name] = ",".join(item for item in listed if item != config.value)
            case _:
                raise Refused(ErrorCode.invalid_request, "The operation is set, delete, append or subtract.")
    return changed


def described_configs(own: Mapping[str, str]) -> list[Fields]:
    """Every setting of a topic that has set `own`."""
    return [_topic_config(name, setting, own.get(name)) for name, setting in SETTINGS.items()]


def _topic_config(name: str, setting: Setting, own: str | None) -> Fields:
    """A setting with its synonyms: where its value would come from, the first that is set wins."""
    synonyms = [] if own is None else [{"name": name, "value": own, "source": _SET_ON_TOPIC}]
    if setting.broker_name is not None:
        synonyms.append({"name": setting.broker_name, "value": setting.default, "source": _DEFAULT})
    return {
        **_config(name, setting.default if own is None else own, _DEFAULT if own is None else _SET_ON_TOPIC),
        "synonyms": synonyms,
        "config_type": setting.type,
    }


def _named(resource: Any, code: ErrorCode, reason: str | None) -> Fields:
    return {
        "error_code": code,
        "error_message": reason,
        "resource_type": resource.resource_type,
        "resource_name": resource.resource_name,
    }


def _config(name: str, value: str, source: int) -> Fields:
    return {
        "name": name,
        "value": value,
        "read_only": source == _STATIC_BROKER,
        "config_source": source,
        "is_sensitive": False,
        "synonyms": [{"name": name, "value": value, "source": source}],
        "documentation": None,
    }
