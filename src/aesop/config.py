"""What all typed configuration shares: unknown keys are refused, values are checked and do not change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of every section of a recipe; a section stands in the file of what it configures."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
