"""The wait tool: sleeps without a slot, until a moment or for a while."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field, field_validator, model_validator

from noetl_stream.core.events import Sleep
from noetl_stream.ports.tools import Call, Done, Nature, Park
from noetl_stream.tools.config import Config


class WaitConfig(Config):
    seconds: float | None = Field(
        None,
        ge=0,
        validation_alias=AliasChoices("seconds", "duration"),
        description="for how long",
    )
    until: datetime | None = Field(
        None, description="until when: ISO 8601, UTC unless it says otherwise, or seconds since 1970"
    )

    @field_validator("until")
    @classmethod
    def _utc(cls, until: datetime | None) -> datetime | None:
        return until.replace(tzinfo=UTC) if until is not None and until.tzinfo is None else until

    @model_validator(mode="after")
    def _one_moment(self) -> WaitConfig:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("wait needs `seconds` or `until`, and not both")
        return self


class Wait:
    """`kind: wait`. A moment that has passed is not waited for."""

    kind: ClassVar[str] = "wait"
    nature: ClassVar[Nature] = "read"
    config: ClassVar[type[BaseModel]] = WaitConfig

    async def run(self, call: Call) -> Done | Park:
        config: WaitConfig = call.config
        now = time.time()
        until = now + (config.seconds or 0.0) if config.until is None else config.until.timestamp()
        if call.answered or until <= now:
            return Done(value={"now": datetime.fromtimestamp(now, UTC).isoformat()})
        return Park(wait=Sleep(until=until))

    async def close(self) -> None:
        """Nothing is held open."""
