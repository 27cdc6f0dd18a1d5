"""Which generator upscales a picture: the one that was asked for, or the one in the box that fits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aesop import box
from aesop.errors import AesopError
from aesop.networks.interpolate import load_between
from aesop.networks.loading import LoadedGenerator, load_generator
from aesop.upscaling.pictures.source import is_compressed, picture_size
from aesop.upscaling.targets import Target


def generators_for(
    model: Path | str | LoadedGenerator, fidelity: float | None, target: Target
) -> Callable[[Path], LoadedGenerator]:
    """Tell which generator upscales a picture: `model`, or of `auto` the one in the box that fits its file and target.

    Raises AesopError for a model that cannot be loaded, or a `fidelity` that it cannot have.
    """
    auto = box.is_auto(model)
    if not auto or fidelity is not None:
        generator = generator_for(model, fidelity)
        return lambda _: generator
    load = functools.cache(load_generator)

    @functools.cache
    def name_of(picture: Path) -> str:
        with suppress(Exception):  # told when its turn comes
            if is_compressed(picture):
                height, width = picture_size(picture) if target.by_size else (1, 1)
                return box.chosen(compressed=True, factor=target.factor(height, width, 4))
        return box.chosen()

    return lambda picture: load(name_of(picture))


def generator_for(
    model: Path | str | LoadedGenerator, fidelity: float | None, *, compressed: bool = False, factor: float = 4
) -> LoadedGenerator:
    """Load `model`, or of `auto` the one in the box for pictures of lossy formats, or of others, to be so many times as
    large; with a `fidelity`, that of the one that it interpolates.

    Raises AesopError as `generators_for` does.
    """
    if box.is_auto(model):
        model = box.chosen() if fidelity is not None else box.chosen(compressed=compressed, factor=factor)
    if fidelity is None:
        return model if isinstance(model, LoadedGenerator) else load_generator(model)
    if not 0 <= fidelity <= 1:
        raise AesopError(f"--fidelity must be from 0 to 1, not {fidelity:g}.")
    if isinstance(model, LoadedGenerator):
        raise AesopError("--fidelity needs a run's folder as the model, with a fidelity and a perceptual network.")
    return load_between(model, 1 - fidelity)
