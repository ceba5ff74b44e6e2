"""The topic settings Kafka knows, with their defaults, their types and what values they take.

All are kept and reported; docs/broker.md says which ones the broker acts on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.refusal import Refused

MAX_MESSAGE_BYTES = "max.message.bytes"

_MAX_INT, _MAX_LONG = (1 << 31) - 1, (1 << 63) - 1
FOREVER = str(_MAX_LONG)
"""How Kafka says that a count or a time has no bound."""


class ConfigType(IntEnum):
    """A setting's type, as DescribeConfigs names it."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `broker_name` is what Kafka calls the default that a broker gives to all its topics."""

    default: str
    type: ConfigType
    accepts: Callable[[str], bool]
    broker_name: str | None


def _whole(type_: ConfigType, default: str, lowest: int, highest: int, broker_name: str | None) -> Setting:
    def accepts(text: str) -> bool:
        return text.removeprefix("-").isdecimal() and lowest <= int(text) <= highest

    return Setting(default=default, type=type_, accepts=accepts, broker_name=broker_name)


def _int(default: str, lowest: int, broker_name: str | None = None, *, highest: int = _MAX_INT) -> Setting:
    return _whole(ConfigType.INT, default, lowest, highest, broker_name)


def _long(default: str, lowest: int, broker_name: str | None = None) -> Setting:
    return _whole(ConfigType.LONG, default, lowest, _MAX_LONG, broker_name)


def _one_of(default: str, *others: str, broker_name: str | None = None) -> Setting:
    choices = (default, *others)
    return Setting(
        default=default, type=ConfigType.STRING, accepts=lambda text: text in choices, broker_name=broker_name
    )


def _flag(*allowed: str, broker_name: str | None = None) -> Setting:
    return Setting(
        default="false",
        type=ConfigType.BOOLEAN,
        accepts=lambda text: text in allowed,
        broker_name=broker_name,
    )


def _listed(default: str, accepts: Callable[[str], bool], broker_name: str | None = None) -> Setting:
    return Setting(default=default, type=ConfigType.LIST, accepts=accepts, broker_name=broker_name)


def _is_policies(text: str) -> bool:
    return bool(text) and set(text.replace(" ", "").split(",")) <= {"compact", "delete"}


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": _listed("delete", _is_policies, "log.cleanup.policy"),
    "compression.gzip.level": _int("-1", -1, "compression.gzip.level", highest=9),
    "compression.lz4.level": _int("9", 1, "compression.lz4.level", highest=17),
    "compression.type": _one_of(
        "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd", broker_name="compression.type"
    ),
    "compression.zstd.level": _int("3", -131072, "compression.zstd.level", highest=22),
    "delete.retention.ms": _long("86400000", 0, "log.cleaner.delete.retention.ms"),
    "file.delete.delay.ms": _long("60000", 0, "log.segment.delete.delay.ms"),
    "flush.messages": _long(FOREVER, 1, "log.flush.interval.messages"),
    "flush.ms": _long(FOREVER, 0),
    "follower.replication.throttled.replicas": _listed("", lambda _: True),
    "index.interval.bytes": _int("4096", 0, "log.index.interval.bytes"),
    "leader.replication.throttled.replicas": _listed("", lambda _: True),
    "local.retention.bytes": _long("-2", -2, "log.local.retention.bytes"),
    "local.retention.ms": _long("-2", -2, "log.local.retention.ms"),
    "max.compaction.lag.ms": _long(FOREVER, 1, "log.cleaner.max.compaction.lag.ms"),
    MAX_MESSAGE_BYTES: _int("1048588", 0, "message.max.bytes"),
    "message.timestamp.after.max.ms": _long("3600000", 0, "log.message.timestamp.after.max.ms"),
    "message.timestamp.before.max.ms": _long(FOREVER, 0, "log.message.timestamp.before.max.ms"),
    "message.timestamp.type": _one_of(
        "CreateTime", "LogAppendTime", broker_name="log.message.timestamp.type"
    ),
    "min.cleanable.dirty.ratio": Setting(
        default="0.5",
        type=ConfigType.DOUBLE,
        accepts=_is_ratio,
        broker_name="log.cleaner.min.cleanable.ratio",
    ),
    "min.compaction.lag.ms": _long("0", 0, "log.cleaner.min.compaction.lag.ms"),
    "min.insync.replicas": _int("1", 1, "min.insync.replicas"),
    "preallocate": _flag("true", "false", broker_name="log.preallocate"),
    "remote.storage.enable": _flag("false"),  # there is no other storage to move segments to
    "retention.bytes": _long("-1", -1, "log.retention.bytes"),
    "retention.ms": _long("604800000", -1),
    # Kafka 4 takes no less than 1 MiB here; a small disk may want smaller segments.
    # Nor is Kafka's 1 GiB the default: retention and compaction never touch the segment that grows.
    "segment.bytes": _int("134217728", 14, "log.segment.bytes"),
    "segment.index.bytes": _int("10485760", 4, "log.index.size.max.bytes"),
    "segment.jitter.ms": _long("0", 0),
    "segment.ms": _long("604800000", 1),
    "unclean.leader.election.enable": _flag("true", "false", broker_name="unclean.leader.election.enable"),
}

DEFAULTS: Mapping[str, str] = {name: setting.default for name, setting in SETTINGS.items()}


def check_configs(configs: Mapping[str, str | None]) -> dict[str, str]:
    """The settings as they are kept; None means the default and is left out.

    Raises:
        Refused: an unknown setting, or a value that it does not take.
    """
    return {name: _checked(name, value) for name, value in configs.items() if value is not None}


def _checked(name: str, value: str) -> str:
    if name not in SETTINGS:
        raise Refused(ErrorCode.invalid_config, f"Unknown topic config name: {name}")
    if not SETTINGS[name].accepts(value):
        raise Refused(ErrorCode.invalid_config, f"Invalid value {value} for configuration {name}")
    return value
