"""The real-or-fake test: how well small classifiers, trained from scratch, tell SR from HR pictures.

    python benchmarks/real_or_fake.py HR_DIR SR_DIR [SR_DIR ...]

Perceptual quality is, by definition, the distance between the distributions of SR and of real images, and the accuracy
of the best classifier measures it (Blau and Michaeli 2018). A classifier is trained on crops of half of the pictures
and tested on crops of the other half, then the other way round, several times. An accuracy of 0.5 is perfect SR; at 1,
every crop is recognised.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.data.pictures import read_picture
from aesop.progress import progress

#: Side of the crops. Their places are not aligned with LR's pixels.
CROP = 48
BATCH, LEARNING_RATE = 32, 2e-3
#: Crops per picture that a classifier is tested on.
TESTED = 8


class Classifier(nn.Sequential):
    """Crops (N, 3, h, w) in [0, 1] to logits (N,), positive for real: 26,000 parameters, no norm across the batch."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 1), (16, 32, 2), (32, 48, 2), (48, 48, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(4, outputs), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1))


def accuracies(
    real: Sequence[Tensor], fake: Sequence[Tensor], *, classifiers: int = 3, iterations: int = 300
) -> list[float]:
    """Accuracy of each classifier on the pictures that it was not trained on: `2 * classifiers` values.

    `real` and `fake` are pictures (3, H, W) in [0, 1] in the same order. They are split into random halves; one trains
    and the other tests, then the other way round.
    """
    if len(real) != len(fake) or len(real) < 2:
        raise ValueError(f"{len(real)} real and {len(fake)} fake pictures: need the same number of each, at least 2")
    found = []
    for number in range(classifiers):
        rng = np.random.default_rng(number)
        order = rng.permutation(len(real))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        for train, test in (halves, halves[::-1]):
            torch.manual_seed(int(rng.integers(2**31)))
            network = _trained([real[i] for i in train], [fake[i] for i in train], rng, iterations)
            found.append(_accuracy(network, [real[i] for i in test], [fake[i] for i in test], rng))
    return found


def _crop(picture: Tensor, rng: np.random.Generator) -> Tensor:
    top, left = (int(rng.integers(size - CROP + 1)) for size in picture.shape[1:])
    crop = picture[:, top : top + CROP, left : left + CROP]
    return crop.flip(2) if rng.integers(2) else crop


def _trained(real: Sequence[Tensor], fake: Sequence[Tensor], rng: np.random.Generator, iterations: int) -> nn.Module:
    network = Classifier()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    labels = torch.cat([torch.ones(BATCH // 2), torch.zeros(BATCH // 2)])
    for _ in range(iterations):
        chosen = rng.integers(len(real), size=BATCH // 2)
        crops = [_crop(pictures[i], rng) for pictures in (real, fake) for i in chosen]
        loss = F.binary_cross_entropy_with_logits(network(torch.stack(crops)).squeeze(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def _accuracy(network: nn.Module, real: Sequence[Tensor], fake: Sequence[Tensor], rng: np.random.Generator) -> float:
    right = 0
    for pictures, is_real in ((real, True), (fake, False)):
        for picture in pictures:
            logits = network(torch.stack([_crop(picture, rng) for _ in range(TESTED)])).squeeze(1)
            right += int(((logits > 0) == is_real).sum())
    return right / (TESTED * (len(real) + len(fake)))


def pictures_of(folder: Path, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Read a folder's pictures, (3, H, W) in [0, 1], by name; only those in `names` if given."""
    files = sorted(path for path in folder.iterdir() if names is None or path.stem in names)
    return {path.stem: torch.from_numpy(read_picture(path)).permute(2, 0, 1) / 255.0 for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("hr", type=Path)
    parser.add_argument("sr", type=Path, nargs="+")
    parser.add_argument("--classifiers", type=int, default=3)
    asked = parser.parse_args()
    real = pictures_of(asked.hr)
    with progress("classifiers", len(asked.sr), unit="folders") as advance:
        for folder in asked.sr:
            fake = pictures_of(folder, list(real))
            values = accuracies([real[name] for name in fake], list(fake.values()), classifiers=asked.classifiers)
            advance(1, folder.name)
            mean = sum(values) / len(values)
            print(f"{folder}: accuracy {mean:.3f} ({min(values):.3f} to {max(values):.3f}), {len(fake)} pictures")


if __name__ == "__main__":
    main()
