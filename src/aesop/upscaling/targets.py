"""How large a result is to be, and the way there: passes of the model, then one antialiased resize."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aesop.data.bicubic import resized_length
from aesop.errors import AesopError, DataError

#: No size is larger, in whatever unit: no format holds more pixels a side.
_MOST = 100_000_000


@dataclass(frozen=True)
class Target:
    """What a result is to measure, by one of these; the model's own scale by none.

    `scale` is how many times as high and wide as the picture, `width` and `height` are pixels of the upright picture,
    `megapixels` is millions of pixels, nearly.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    megapixels: float | None = None

    def __post_init__(self) -> None:
        """Raise AesopError for several of them, or for what is no size."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) > 1:
            raise AesopError(f"{' and '.join(f'--{name}' for name in given)}: give one of them.")
        for name, value in given.items():
            least = 1 if name == "scale" else 0
            if value > _MOST:  # too many digits, perhaps, to print
                raise AesopError(f"--{name} must be at most {_MOST:,}.")
            if not (value >= least and value > 0):
                raise AesopError(f"--{name} must be {'at least 1' if least else 'more than 0'}, not {value:g}.")

    @property
    def by_size(self) -> bool:
        """Whether the factor differs from picture to picture."""
        return (self.width, self.height, self.megapixels) != (None, None, None)

    def factor(self, height: int, width: int, scale: int) -> float:
        """Return how many times as high and wide as a picture its result is; `scale` is the model's."""
        if self.width is not None:
            return self.width / width
        if self.height is not None:
            return self.height / height
        if self.megapixels is not None:
            return math.sqrt(self.megapixels * 1e6 / (height * width))
        return scale if self.scale is None else self.scale


@dataclass(frozen=True)
class Steps:
    """The way to a result of `height` x `width`: `passes` of the model, then a resize by `shrink` (1: none).

    `factor` is the whole, `pixels` how many the model has to take in, over all passes.
    """

    passes: int
    shrink: float
    height: int
    width: int
    factor: float
    pixels: int


def steps_to(target: Target, height: int, width: int, scale: int) -> Steps:
    """Return the fewest passes of a model of `scale` from a picture to at least `target`, and the resize that is left.

    Raises AesopError, without a path, where the target is smaller than the picture or the model does not enlarge.
    """
    factor = target.factor(height, width, scale)
    if factor < 1 - 1e-9:
        raise DataError(f"has {width} x {height} pixels already, more than asked for; ask for a larger size.")
    if scale == 1 and factor > 1:
        raise AesopError("this model does not enlarge; choose another, or leave the size out.")
    passes = 1
    while scale**passes < factor * (1 - 1e-9):
        passes += 1
    shrink = factor / scale**passes
    if abs(shrink - 1) < 1e-9:
        shrink = 1.0
    pixels = sum(height * width * scale ** (2 * done) for done in range(passes))
    height, width = (resized_length(side * scale**passes, shrink) for side in (height, width))
    return Steps(passes, shrink, height, width, factor, pixels)
