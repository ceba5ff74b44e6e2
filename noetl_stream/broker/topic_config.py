"""The topic settings Kafka knows, with their defaults and what values they take.

All are kept and reported; docs/broker.md says which ones the broker acts on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kio.schema.errors import ErrorCode

from noetl_stream.commitlog.refusal import Refused

MAX_MESSAGE_BYTES = "max.message.bytes"

_Check = Callable[[str], bool]


def _integer(lowest: int) -> _Check:
    def check(text: str) -> bool:
        return text.removeprefix("-").isdecimal() and int(text) >= lowest

    return check


def _ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _one_of(*choices: str) -> _Check:
    return lambda text: text in choices


def _policies(text: str) -> bool:
    return bool(text) and set(text.replace(" ", "").split(",")) <= {"compact", "delete"}


def _anything(_: str) -> bool:
    return True


_BOOLEAN = _one_of("true", "false")

_KNOWN: dict[str, tuple[str, _Check]] = {
    "cleanup.policy": ("delete", _policies),
    "compression.type": ("producer", _one_of("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")),
    "delete.retention.ms": ("86400000", _integer(0)),
    "file.delete.delay.ms": ("60000", _integer(0)),
    "flush.messages": ("9223372036854775807", _integer(1)),
    "flush.ms": ("9223372036854775807", _integer(0)),
    "follower.replication.throttled.replicas": ("", _anything),
    "index.interval.bytes": ("4096", _integer(0)),
    "leader.replication.throttled.replicas": ("", _anything),
    "max.compaction.lag.ms": ("9223372036854775807", _integer(1)),
    MAX_MESSAGE_BYTES: ("1048588", _integer(0)),
    "message.timestamp.after.max.ms": ("3600000", _integer(0)),
    "message.timestamp.before.max.ms": ("9223372036854775807", _integer(0)),
    "message.timestamp.type": ("CreateTime", _one_of("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": ("0.5", _ratio),
    "min.compaction.lag.ms": ("0", _integer(0)),
    "min.insync.replicas": ("1", _integer(1)),
    "preallocate": ("false", _BOOLEAN),
    "retention.bytes": ("-1", _integer(-1)),
    "retention.ms": ("604800000", _integer(-1)),
    "segment.bytes": ("1073741824", _integer(14)),
    "segment.index.bytes": ("10485760", _integer(4)),
    "segment.jitter.ms": ("0", _integer(0)),
    "segment.ms": ("604800000", _integer(1)),
    "unclean.leader.election.enable": ("false", _BOOLEAN),
}

DEFAULTS: Mapping[str, str] = {name: default for name, (default, _) in _KNOWN.items()}


def check_configs(configs: Mapping[str, str | None]) -> dict[str, str]:
    """The settings as they are kept; None means the default and is left out.

    Raises:
        Refused: an unknown setting, or a value that it does not take.
    """
    return {name: _checked(name, value) for name, value in configs.items() if value is not None}


def _checked(name: str, value: str) -> str:
    if name not in _KNOWN:
        raise Refused(ErrorCode.invalid_config, f"Unknown topic config name: {name}")
    if not _KNOWN[name][1](value):
        raise Refused(ErrorCode.invalid_config, f"Invalid value {value} for configuration {name}")
    return value
