"""What a postgres task takes, beside its credential."""

from __future__ import annotations

from pydantic import Field, field_validator

from noetl_stream.tools.config import Config
from noetl_stream.tools.sql_config import StatementsConfig


class PoolConfig(Config):
    """The bounds of the connections that tasks with one credential share in one worker."""

    name: str = Field("", description="tells pools of one credential apart")
    min_size: int = Field(0, ge=0, description="kept for other systems: connections are made when needed")
    max_size: int = Field(8, ge=1, description="connections at once")
    max_waiting: int = Field(0, ge=0, description="tasks that may wait for one; 0: any number")
    timeout: float = Field(30.0, gt=0, description="how long one waits, in seconds")


class PostgresConfig(StatementsConfig):
    database: str | None = Field(
        None, description="another database on the server; the credential's by default"
    )
    pool: PoolConfig = Field(
        default_factory=PoolConfig,
        description="bounds of the connections",
    )

    @field_validator("pool", mode="before")
    @classmethod
    def _bounds(cls, pool: object) -> object:
        return {} if pool is None else pool
