"""All tool kinds of the language and what brings each; a kind in this table is known whether or not it can run here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from noetl_stream.ports.tools import Kind

EXTRAS: Final[Mapping[str, str | None]] = {
    "python": None,
    "polars": None,
    "duckdb": None,
    "ducklake": "ducklake",
    "sqlite": None,
    "postgres": None,
    "adbc": None,
    "snowflake": "snowflake",
    "http": None,
    "transfer": None,
    "kafka": None,
    "subscription": None,
    "object": None,
    "playbook": None,
    "workbook": None,
    "noop": None,
    "artifact": None,
    "result_fetch": None,
    "shell": None,
    "script": None,
    "container": None,
    "mcp": "mcp",
    "wasm": "wasm",
    "nats": "nats",
    "wait": None,
    "callback": None,
    "approve": None,
    "system": None,
}
"""Kind → the pip extra it needs, if any."""

ALIASES: Final[Mapping[str, str]] = {"gcs": "object", "s3": "object"}

ERROR_KINDS: Final = (
    "timeout",
    "connection",
    "auth",
    "rate_limit",
    "server_error",
    "client_error",
    "sql",
    "python",
    "validation",
    "credential",
    "not_installed",
    "playbook",
    "cancelled",
)


def missing_reason(name: str, kinds: Mapping[str, Kind]) -> str | None:
    """Why a known kind cannot run here, ending with the next step; None if it can."""
    kind = kinds.get(name)
    if kind is not None and kind.installed:
        return None
    extra = (kind.extra if kind else None) or EXTRAS.get(name)
    if extra:
        return f"tool kind '{name}' is not installed; pip install 'noetl-stream[{extra}]'"
    return f"tool kind '{name}' is not available in this version; use another kind"
