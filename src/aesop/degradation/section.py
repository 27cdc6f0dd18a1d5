"""What a degradation says of itself in a recipe; a user's own derive from it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from aesop.config import Config
from aesop.degradation.degradation import Degradation


def _rising(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range begins with {bounds[0]}, above its end {bounds[1]}; write the smaller one first")
    return bounds


Chance = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0)]
_Quality = Annotated[int, Field(ge=1, le=100)]
Range = Annotated[tuple[_Amount, _Amount], AfterValidator(_rising)]
QualityRange = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]


class DegradationSection(Config):
    """A degradation: it makes LR crops of HR crops while training."""

    type: Any
    source_crop: int = Field(
        400, ge=8, description="side of the HR crops that are degraded, before a crop for training is cut out of them"
    )
    pool: int = Field(0, ge=0, description="earlier pairs that a batch is mixed with; 0: none")
    sharpen: bool = Field(False, description="sharpen HR pictures before degrading, and as targets of the losses")

    def check(self, scale: int, crop: int) -> None:
        """Raise ValueError, with the mend, if HR crops of `crop` pixels cannot be cut out of degraded ones."""
        if crop % scale:
            raise ValueError(f"a crop of {crop} pixels is not a multiple of the scale {scale}; take one that is")
        if self.source_crop % scale:
            raise ValueError(
                f"degradation.source_crop: {self.source_crop} is not a multiple of the scale {scale}; take "
                f"{self.source_crop // scale * scale}"
            )
        if self.source_crop < crop:
            raise ValueError(
                f"degradation.source_crop: {self.source_crop} pixels hold no crop of {crop} at scale {scale}; "
                "take a larger source_crop or smaller crops"
            )

    def build(self, scale: int, crop: int) -> Degradation:
        """Build the degradation of HR crops to LR crops of `crop` / `scale` pixels."""
        raise NotImplementedError
