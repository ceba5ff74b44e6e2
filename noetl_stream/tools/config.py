"""What every tool's config model is: strict about its keys, and immutable."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """Unknown keys are errors; numeric text becomes a number where a number is meant; null is as if left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, config: Any) -> Any:
        if not isinstance(config, dict):
            return config
        return {name: value for name, value in config.items() if value is not None}
