"""What every tool's config model is: strict about its keys, and immutable."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Unknown keys are errors; numeric text becomes a number where a number is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
