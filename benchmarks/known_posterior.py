"""Which loss leaves which bias and which texture, in a world whose E[HR | LR] is known (`known_world.py`).

    python benchmarks/known_posterior.py [--out JSON] [--figure PNG] [--seeds N] [--quick]

A fidelity network, auto-encoders with it as decoder, and perceptual networks that differ in their fidelity loss alone:
the package's own stages and losses, one start, one data order, one adversary. The bias is measured against E[HR | LR]
itself; no auto-encoder estimates it. docs/known_posterior.md tells what came out.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.analysis.drawing import drawn, require_drawable, show
from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.files import require_writable, write_atomically
from aesop.losses.aesop import AESOPLoss
from aesop.losses.low_pass import LowPassLoss
from aesop.losses.lr_consistency import LRConsistencyLoss
from aesop.losses.pixel import PixelLoss
from aesop.networks.discriminators.patchgan import PatchGANDiscriminator
from aesop.networks.srresnet import ResidualBlock
from aesop.training.autoencoder import AutoEncoderStage
from aesop.training.fidelity import FidelityStage
from aesop.training.perceptual import PerceptualStage
from aesop.training.recipe import AutoEncoderConfig, FidelityConfig, PerceptualConfig
from aesop.training.stage import Stage
from known_measures import (
    TestSet,
    Values,
    differences,
    measure_autoencoder,
    measure_images,
    measure_sight,
    summary,
    table,
)
from known_world import SCALE, SIDE, draw, seen, unseen


class Sizes(NamedTuple):
    """How much is trained and measured."""

    fidelity: int = 900
    #: A short and a long training of an auto-encoder.
    autoencoder: tuple[int, int] = (150, 450)
    perceptual: int = 300
    pool: int = 1024
    scenes: int = 16
    grains: int = 8


QUICK = Sizes(fidelity=20, autoencoder=(3, 6), perceptual=4, pool=32, scenes=6, grains=3)
BATCH = 8
RATES = {"fidelity": 3e-3, "autoencoder": 1e-3}
#: Balanced on `pixel 0.01` alone, until its texture had eight tenths of HR's energy, then frozen for all. A
#: discriminator of two levels (24 features at 5e-4, 12 at 2e-4, 16 at 3e-4) lost texture or colours.
ADVERSARY: dict[str, Any] = {"features": 24, "layers": 1, "rate": 3e-4, "weight": 0.005}
#: Weights of the auto-encoder's LR term; 0 is config (b) of the paper's table 3.
LR_WEIGHTS = (1.0, 0.1, 0.02, 0.0)
CONSISTENCY, ORACLE = "LR consistency 1", "oracle 1"


class Upscaler(nn.Module):
    """The generator: residual blocks at LR size, then nearest-neighbour upsampling and convolutions."""

    def __init__(self, features: int = 24, narrow: int = 12, blocks: int = 3) -> None:
        super().__init__()
        widths = ((3, features), (features, features), (features, narrow), (narrow, narrow), (narrow, 3))
        self.first, self.up1, self.up2, self.hr, self.last = (nn.Conv2d(*pair, 3, padding=1) for pair in widths)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 3, 4h, 4w), added to the bilinear upscaling."""
        x = self.body(F.leaky_relu(self.first(lr), 0.2))
        for layer in (self.up1, self.up2):
            x = F.leaky_relu(layer(F.interpolate(x, scale_factor=2.0)), 0.2)
        x = self.last(F.leaky_relu(self.hr(x), 0.2))
        return x + F.interpolate(lr, scale_factor=float(SCALE), mode="bilinear", align_corners=False)


class OracleLoss(nn.Module):
    """What only this world has: the pixel loss of all but what LR does not see of textured areas."""

    #: Of the present batch.
    strength: Tensor

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        error = sr - hr
        return (seen(error) + (self.strength == 0) * unseen(error)).abs().mean()


class Trainer:
    """Trains stages on a pool of pictures, whose texture is drawn anew each time."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.pool = draw(sizes.pool, torch.Generator().manual_seed(1))

    def train(self, stage: Stage[Any], iterations: int, seed: int, rate: float | None = None) -> None:
        """Train a stage, its learning rate falling from `rate` along half a cosine or as it is."""
        generator = torch.Generator().manual_seed(seed)
        for iteration in range(iterations):
            if rate is not None:
                stage.optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * iteration / iterations)) / 2
            chosen = torch.randint(len(self.pool.lr), (BATCH,), generator=generator)
            lr, _, mean, strength = (images[chosen] for images in self.pool[:4])
            if isinstance(loss := getattr(stage, "fidelity_loss", None), OracleLoss):
                loss.strength = strength
            stage.step(lr, self.pool._replace(lr=lr, mean=mean, strength=strength).redrawn(generator))

    def fidelity(self) -> nn.Module:
        """Train the fidelity network."""
        torch.manual_seed(0)
        stage = FidelityStage(Upscaler(), FidelityConfig(ema=0.99))
        self.train(stage, self.sizes.fidelity, 2, RATES["fidelity"])
        return stage.result

    def autoencoders(self, fidelity: nn.Module, lr_weight: float) -> Iterator[tuple[int, AutoEncoder]]:
        """Train an auto-encoder whose decoder starts as the fidelity network; yield it after either training."""
        torch.manual_seed(0)
        decoder = copy.deepcopy(fidelity).requires_grad_(True)
        autoencoder = AutoEncoder(decoder, SCALE, growth=8, blocks=1)
        initialise_as_downscaler(autoencoder.encoder, SCALE)
        config = AutoEncoderConfig(lr_weight=lr_weight, ema=0.99, learning_rate=RATES["autoencoder"])
        stage, done = AutoEncoderStage(autoencoder, config), 0
        for iterations in self.sizes.autoencoder:
            self.train(stage, iterations - done, 3 + done)
            done = iterations
            yield done, copy.deepcopy(stage.result)

    def perceptual(self, fidelity: nn.Module, loss: nn.Module, weight: float, seed: int) -> nn.Module:
        """Train a perceptual network from the fidelity network: a fidelity loss and the adversary, nothing else."""
        torch.manual_seed(seed)
        config = PerceptualConfig.model_validate({
            "crop": SIDE, "batch": BATCH, "learning_rate": ADVERSARY["rate"], "ema": 0.98,
            "fidelity_loss": {"type": "pixel", "weight": weight}, "artifact_loss": {"weight": 0},
            "perceptual_loss": {"weight": 0, "features": {"type": "efficientnet-lite0"}},  # not run
            "adversarial_loss": {"type": "relativistic", "weight": ADVERSARY["weight"]},
        })  # fmt: skip
        discriminator = PatchGANDiscriminator(ADVERSARY["features"], ADVERSARY["layers"])
        generator = copy.deepcopy(fidelity).requires_grad_(True)
        stage = PerceptualStage(generator, discriminator, loss, None, config)
        self.train(stage, self.sizes.perceptual, 10 + seed)
        return stage.result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("known_posterior.json"), help="all numbers, as JSON")
    parser.add_argument("--figure", type=Path, help="figure to draw, .png, .svg or .pdf")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each perceptual network")
    parser.add_argument("--quick", action="store_true", help="a few iterations of everything")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds must be at least 1")
    require_writable(asked.out)
    if asked.figure:
        require_drawable(asked.figure)
    torch.set_num_threads(1)
    started, used = time.perf_counter(), time.process_time()
    sizes = QUICK if asked.quick else Sizes()
    trainer, test = Trainer(sizes), TestSet(sizes.scenes, sizes.grains, seed=0)
    fidelity = trainer.fidelity()
    autoencoders = {"(a) bicubic encoder": AutoEncoder.collapsed(fidelity, SCALE)}
    for weight in LR_WEIGHTS:
        for iterations, autoencoder in trainer.autoencoders(fidelity, weight):
            say(f"auto-encoder, LR term {weight:g}, {iterations} iterations")
            autoencoders[f"LR term {weight:g}, {iterations}"] = autoencoder
    losses = fidelity_losses(autoencoders, sizes.autoencoder[1])
    results = measured(test, autoencoders, losses)
    images = {"HR": [measure_images(lambda found: found.hr, test)], "fidelity network": [of_network(fidelity, test)]}
    shown = {"fidelity network": fidelity}
    for seed in range(asked.seeds):
        for name, (loss, weight) in losses.items():
            say(f"{name}, seed {seed}")
            network = trainer.perceptual(fidelity, loss, weight, seed)
            shown.setdefault(name, network)
            images.setdefault(name, []).append(of_network(network, test))
        # After every seed, so that work already done is never lost.
        results |= compared(images)
        results["setting"] = {"sizes": sizes._asdict(), "batch": BATCH, "adversary": ADVERSARY, "seeds": seed + 1}
        results["seconds"] = {"wall": time.perf_counter() - started, "processor": time.process_time() - used}
        write_atomically(asked.out, json.dumps(rounded(results), indent=1) + "\n")
        if asked.figure and not seed:
            draw_figure(test, autoencoders[f"LR term 1, {sizes.autoencoder[1]}"], shown, asked.figure)
    print(tables(results))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def fidelity_losses(autoencoders: dict[str, AutoEncoder], iterations: int) -> dict[str, tuple[nn.Module, float]]:
    """The fidelity losses that are compared, each with its weight."""
    return {
        "pixel 0.01": (PixelLoss(), 0.01),
        "pixel 1": (PixelLoss(), 1.0),
        "low-pass 1": (LowPassLoss(1.5), 1.0),
        CONSISTENCY: (LRConsistencyLoss(SCALE), 1.0),
        "AESOP, LR term 1": (AESOPLoss(autoencoders[f"LR term 1, {iterations}"]), 1.0),
        "AESOP, LR term 0.02": (AESOPLoss(autoencoders[f"LR term 0.02, {iterations}"]), 1.0),
        ORACLE: (OracleLoss(), 1.0),
    }


def of_network(network: nn.Module, test: TestSet) -> Values:
    """Measure a network's SR."""
    return measure_images(lambda found: network(found.lr), test)


def measured(
    test: TestSet, autoencoders: dict[str, AutoEncoder], losses: dict[str, tuple[nn.Module, float]]
) -> dict[str, Any]:
    """Measure auto-encoders, and what losses see: summaries by section and row."""
    plain = {name: loss for name, (loss, _) in losses.items() if not isinstance(loss, AESOPLoss | OracleLoss)}
    plain |= {f"AESOP, {name}": AESOPLoss(found) for name, found in autoencoders.items()}
    return {
        "auto-encoders": {name: summary([measure_autoencoder(found, test)]) for name, found in autoencoders.items()},
        "sight": {name: summary([measure_sight(loss, test)]) for name, loss in plain.items()},
    }


def compared(images: dict[str, list[Values]]) -> dict[str, Any]:
    """Summaries of SR by row, and of its paired differences to LR consistency's."""
    own = {name: found for name, found in images.items() if name not in ("HR", "fidelity network", CONSISTENCY)}
    return {
        "images": {name: summary(values) for name, values in images.items()},
        "minus LR consistency": {name: differences(found, images[CONSISTENCY]) for name, found in own.items()},
    }


def tables(results: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    errors = {"lr": 2, "edges": 2, "stripes": 2}
    kinds = {
        "auto-encoders": {"variance": 3, "texture": 3, **errors, "rmse": 2, "bottleneck": 2},
        "sight": {"texture": 3, "edges": 3, "stripes": 3, "lr": 3},
        "images": {**errors, "energy": 3, "fixed": 2, "spectrum": 2, "se": 2, "ve": 2, "ve_hr": 2, "rmse": 2},
        "minus LR consistency": {**errors, "energy": 3, "fixed": 3, "spectrum": 2, "se": 2, "ve": 2},
    }
    return "\n\n".join(table(name, results[name], columns) for name, columns in kinds.items())


def rounded(found: Any) -> Any:
    """The same with all floats at four digits behind the point."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return round(found, 4) if isinstance(found, float) else found


@torch.no_grad()
def draw_figure(test: TestSet, autoencoder: AutoEncoder, networks: dict[str, nn.Module], path: Path) -> None:
    """Draw LR, two HR pictures of it, their mean, AE(HR) and every network's SR, three scenes."""
    with drawn(path, 7.5, 7.6) as figure:
        for row, (found, other) in enumerate(zip(test.pictures[:3], test.redrawn, strict=False)):
            panels = {
                "LR": found.lr, "HR": found.hr, "HR, another": other, "E[HR | LR]": found.mean,
                "AE(HR), LR term 1": autoencoder(found.hr),
            }  # fmt: skip
            panels |= {name: network(found.lr) for name, network in networks.items()}
            for column, (title, images) in enumerate(panels.items()):
                across = 5
                down = math.ceil(len(panels) / across)
                axes = figure.add_subplot(3 * down, across, row * down * across + column + 1)
                show(axes, images[0], title)


if __name__ == "__main__":
    main()
