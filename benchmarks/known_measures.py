"""What `known_posterior.py` measures in the known world, scene by scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from aesop.autoencoder import AutoEncoder
from aesop.evaluation.intervals import mean_interval
from known_world import Pictures, Scene, deviation, pictures, seen, shapes, stripes, unseen, upscale

#: Each measure's values, one per scene.
Values = dict[str, list[float]]
WINDOW = 16


class TestSet:
    """Each scene `grains` times with random grain and texture; `deviations` are the texture's exact ones."""

    __test__ = False  # pytest would collect it for its name

    def __init__(self, scenes: int, grains: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.scenes = [Scene.draw(generator) for _ in range(scenes)]
        self.pictures = [pictures([scene] * grains, generator) for scene in self.scenes]
        self.redrawn = [found.redrawn(generator) for found in self.pictures]
        self.deviations = [deviation(found.strength[:1]) for found in self.pictures]
        spectra = [spectrum(found.hr - found.mean, found.zones.texture) for found in self.pictures]
        self.spectrum = torch.stack([found for found in spectra if found is not None]).mean(dim=0)


def add(measured: dict[str, float], values: Values) -> None:
    """Append one scene's values."""
    for name, value in measured.items():
        values.setdefault(name, []).append(value)


def levels(errors: Tensor, mask: Tensor | None = None) -> float:
    """Root mean square, in 8-bit levels, of errors (N, 3, H, W) where `mask` (N, 1, H, W) is set."""
    squares = errors.square().mean(dim=1, keepdim=True)
    return 255 * (squares if mask is None else squares[mask]).mean().sqrt().item()


def spectrum(errors: Tensor, zone: Tensor) -> Tensor | None:
    """Mean power spectrum of grey `errors` over Hann-windowed squares inside `zone`; None if none fits."""
    squares = [images.unfold(2, WINDOW, 4).unfold(3, WINDOW, 4) for images in (unseen(errors).mean(1, True), zone)]
    inside = squares[1].all(dim=-1).all(dim=-1)
    if not inside.any():
        return None
    hann = torch.hann_window(WINDOW, periodic=False)
    return torch.fft.rfft2(squares[0][inside] * hann[:, None] * hann).abs().square().mean(dim=0)


@torch.no_grad()
def measure_images(upscaled: Callable[[Pictures], Tensor], test: TestSet) -> Values:
    """Errors of SR images in 8-bit levels, and their texture as ratios to HR's.

    SE and VE follow eq. 2, over the draws of one scene: E|SR - HR|^2 = SE^2 + VE(SR)^2 + VE(HR)^2.
    """
    values: Values = {}
    for found, exact in zip(test.pictures, test.deviations, strict=True):
        error, zones, count = upscaled(found) - found.mean, found.zones, len(found.lr)
        hidden = unseen(error)
        centre, variance = error.mean(dim=0, keepdim=True), error.var(dim=0, keepdim=True)
        fixed, free = hidden.mean(dim=0, keepdim=True).square(), hidden.var(dim=0, keepdim=True)
        area = zones.texture[:1].expand_as(fixed)
        stays = (fixed - free / count)[area].mean()
        power = spectrum(error, zones.texture)
        band = test.spectrum > 0.1 * test.spectrum.max()
        add({
            "lr": levels(seen(error)),
            "edges": levels(hidden, zones.edge),
            "stripes": levels(hidden, zones.stripes),
            "band": math.nan if power is None else (power[band].sum() / test.spectrum[band].sum()).item(),
            "fixed": (stays / (stays + free[area].mean())).item(),
            "spectrum": math.nan if power is None else 10 * (power / test.spectrum)[band].log10().abs().mean().item(),
            "se": 255 * (centre.square() - variance / count).mean().clamp_min(0).sqrt().item(),
            "ve": 255 * variance.mean().sqrt().item(),
            "ve_hr": 255 * exact.square().mean().sqrt().item(),
            "rmse": levels(error + found.mean - found.hr),
        }, values)  # fmt: skip
    return values


@torch.no_grad()
def measure_autoencoder(autoencoder: AutoEncoder, test: TestSet) -> Values:
    """How much of the texture AE(HR) keeps, and its errors against E[HR | LR] in 8-bit levels."""
    values: Values = {}
    for found, other in zip(test.pictures, test.redrawn, strict=True):
        bottleneck, output = autoencoder.bottleneck_and_output(found.hr)
        error = output - found.mean
        drawn, kept = ((images * found.zones.texture) for images in (found.hr - found.mean, unseen(error)))
        add({
            "variance": ((autoencoder(other) - output).abs().mean() / (other - found.hr).abs().mean()).item(),
            "texture": ((kept * drawn).sum() / drawn.square().sum()).item(),
            "lr": levels(seen(error)),
            "edges": levels(unseen(error), found.zones.edge),
            "stripes": levels(unseen(error), found.zones.stripes),
            "rmse": levels(output - found.hr),
            "bottleneck": levels(bottleneck - found.lr),
        }, values)  # fmt: skip
    return values


def wrong_pictures(scene: Scene, found: Pictures, other: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """HR pictures with one error each: another texture (which a fidelity loss should ignore), edges, stripes, LR.

    The first three leave LR as it is: edges move by one pixel, but only in the part of them that LR does not show.
    """
    moved = scene._replace(
        offset=scene.offset + (1 if scene.offset < 0 else -1), x=scene.x + (1 if scene.x < 24 else -1)
    )
    bias = upscale(0.02 * torch.randn(found.lr.shape, generator=generator))
    return {
        "texture": other,
        "edges": found.hr + unseen(shapes(moved) - shapes(scene)).float(),
        "stripes": found.hr - 2 * stripes(scene).float(),
        "lr": found.hr + bias,
    }


@torch.no_grad()
def measure_sight(loss: Callable[[Tensor, Tensor], Tensor], test: TestSet) -> Values:
    """How much of each error a loss sees: its value divided by the pixel loss's."""
    generator = torch.Generator().manual_seed(0)
    values: Values = {}
    for scene, found, other in zip(test.scenes, test.pictures, test.redrawn, strict=True):
        wrong = wrong_pictures(scene, found, other, generator)
        add({n: (loss(w, found.hr) / (w - found.hr).abs().mean()).item() for n, w in wrong.items()}, values)
    return values


def minus(first: Values, second: Values) -> Values:
    """Subtract scene by scene."""
    return {name: [a - b for a, b in zip(first[name], second[name], strict=True)] for name in first}


def means(values: Values) -> dict[str, float | None]:
    """Each measure's mean over the scenes where it is defined."""
    return {name: _mean(_known(own)) for name, own in values.items()}


def summaries(rows: Mapping[str, Sequence[Values]]) -> dict[str, dict[str, dict[str, object]]]:
    """Per row and measure: the mean over scenes and seeds, half its 95 % interval, and each seed's mean; for JSON.

    The interval is a bootstrap over scenes. Two seeds are too few for an interval over trainings; compare their means.
    """
    result: dict[str, dict[str, dict[str, object]]] = {row: {} for row in rows}
    for row, values in rows.items():
        for name in values[0]:
            found = _known(sum(own) / len(own) for own in zip(*(each[name] for each in values), strict=True))
            interval = mean_interval(found)
            half = interval and (interval[1] - interval[0]) / 2
            result[row][name] = {"mean": _mean(found), "half": half, "seeds": [means(each)[name] for each in values]}
    return result


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values and all(map(math.isfinite, values)) else None
