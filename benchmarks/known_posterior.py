"""Which loss leaves which bias and which texture, in a world whose E[HR | LR] is known (`known_world.py`).

    python benchmarks/known_posterior.py [--out JSON] [--figure PNG] [--seeds N] [--work DIR] [--quick]

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
from collections.abc import Callable
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
from aesop.networks.state_dicts import read_state, write_state
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
    rounded,
    summary,
    tables,
)
from known_world import SCALE, SIDE, draw, seen, unseen


class Sizes(NamedTuple):
    """How much is trained and measured."""

    fidelity: int = 1200
    autoencoder: int = 500
    #: One auto-encoder that has time to learn more than LR.
    long: int = 2500
    perceptual: int = 400
    pool: int = 1024
    scenes: int = 16
    grains: int = 8


QUICK = Sizes(fidelity=20, autoencoder=3, long=6, perceptual=4, pool=32, scenes=6, grains=3)
BATCH = 8
RATES = {"fidelity": 3e-3, "autoencoder": 1e-3}
#: Balanced on `pixel 0.01` alone, seed 0, on ten other scenes: their texture had 1.16 of HR's energy in its band.
#: Weight 0.005 left more errors; so did a discriminator of two levels (16 features), with 1.7 of HR's energy.
#: Without NOISE neither made texture in 300 to 500 iterations: outlines around the shapes came instead.
ADVERSARY: dict[str, Any] = {"features": 24, "layers": 1, "rate": 3e-4, "weight": 0.002}
#: Where the noise's learnt strengths start.
NOISE = 0.1


class Upscaler(nn.Module):
    """The generator: residual blocks at LR size, then nearest-neighbour upsampling and convolutions.

    A perceptual network `draws`: it adds noise, in learnt strengths, after each upsampling. LR carries nothing to make
    a texture of.
    """

    def __init__(self, draws: bool = False, features: int = 24, narrow: int = 12, blocks: int = 3) -> None:
        super().__init__()
        widths = ((3, features), (features, features), (features, narrow), (narrow, narrow), (narrow, 3))
        self.first, self.up1, self.up2, self.hr, self.last = (nn.Conv2d(*pair, 3, padding=1) for pair in widths)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        sizes = (features, narrow) if draws else ()
        self.noise = nn.ParameterList(nn.Parameter(torch.full((1, size, 1, 1), NOISE)) for size in sizes)
        self.to(memory_format=torch.channels_last)  # half the time of such narrow layers on a CPU

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 3, 4h, 4w), added to the bilinear upscaling."""
        x = self.body(F.leaky_relu(self.first(lr), 0.2))
        for number, layer in enumerate((self.up1, self.up2)):
            x = layer(F.interpolate(x, scale_factor=2.0))
            if len(self.noise):
                x = x + self.noise[number] * torch.randn_like(x[:, :1])
            x = F.leaky_relu(x, 0.2)
        x = self.last(F.leaky_relu(self.hr(x), 0.2))
        return x + F.interpolate(lr, scale_factor=float(SCALE), mode="bilinear", align_corners=False)


class InRangeLoss(nn.Module):
    """A weighted loss of SR clamped to [0, 1], and the distance of what was cut off, as AESOPLoss has it."""

    def __init__(self, loss: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        return self.weight * self.loss(sr.clamp(0, 1), hr) + F.l1_loss(sr, sr.detach().clamp(0, 1))


class OracleLoss(nn.Module):
    """What only this world has: the pixel loss of all but what LR does not see of textured areas."""

    #: Of the present batch.
    strength: Tensor

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        error = sr - hr
        return (seen(error) + (self.strength == 0) * unseen(error)).abs().mean()


#: Weight of each auto-encoder's LR term; (a) is the downscaler and the fidelity network, untrained.
AUTOENCODERS: dict[str, float | None] = {
    "(a)": None, "(b), LR term 0": 0.0, "LR term 1": 1.0, "LR term 0.1": 0.1, "LR term 0.02": 0.02,
    "LR term 0.02, long": 0.02,
}  # fmt: skip
CONSISTENCY = "LR consistency"
#: Fidelity losses and their weights.
LOSSES: dict[str, tuple[nn.Module, float]] = {
    "pixel 0.01": (PixelLoss(), 0.01), CONSISTENCY: (LRConsistencyLoss(SCALE), 1.0), "pixel 1": (PixelLoss(), 1.0),
    "low-pass": (LowPassLoss(1.5), 1.0), "oracle": (OracleLoss(), 1.0),
}  # fmt: skip
ROWS = (*LOSSES, *(f"AESOP {name}" for name in AUTOENCODERS if name != "LR term 0.02"))


def new_autoencoder(decoder: nn.Module) -> AutoEncoder:
    """Build an auto-encoder that begins as the downscaler and the decoder."""
    autoencoder = AutoEncoder(decoder, SCALE, growth=8, blocks=1)
    initialise_as_downscaler(autoencoder.encoder, SCALE)
    return autoencoder.to(memory_format=torch.channels_last)


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
                for optimizer in stage.optimizers:
                    optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * iteration / iterations)) / 2
            chosen = torch.randint(len(self.pool.lr), (BATCH,), generator=generator)
            lr, _, mean, strength = (images[chosen] for images in self.pool[:4])
            loss = getattr(getattr(stage, "fidelity_loss", None), "loss", None)
            if isinstance(loss, OracleLoss):
                loss.strength = strength
            stage.step(lr, self.pool._replace(lr=lr, mean=mean, strength=strength).redrawn(generator))

    def fidelity(self) -> nn.Module:
        """Train the fidelity network."""
        torch.manual_seed(0)
        stage = FidelityStage(Upscaler(), FidelityConfig(ema=0.99))
        self.train(stage, self.sizes.fidelity, 2, RATES["fidelity"])
        return stage.result

    def autoencoder(self, fidelity: nn.Module, lr_weight: float, iterations: int) -> AutoEncoder:
        """Train an auto-encoder whose decoder starts as the fidelity network."""
        torch.manual_seed(0)
        autoencoder = new_autoencoder(copy.deepcopy(fidelity).requires_grad_(True))
        config = AutoEncoderConfig(lr_weight=lr_weight, ema=0.99, learning_rate=RATES["autoencoder"])
        stage = AutoEncoderStage(autoencoder, config)
        self.train(stage, iterations, 3)
        return stage.result

    def perceptual(self, fidelity: nn.Module, loss: nn.Module, seed: int) -> nn.Module:
        """Train a perceptual network from the fidelity network: a fidelity loss and the adversary, nothing else."""
        torch.manual_seed(seed)
        config = PerceptualConfig.model_validate({
            "crop": SIDE, "batch": BATCH, "learning_rate": ADVERSARY["rate"], "ema": 0.98,
            "fidelity_loss": {"type": "pixel", "weight": 1}, "artifact_loss": {"weight": 0},
            "perceptual_loss": {"weight": 0, "features": {"type": "efficientnet-lite0"}},  # not run
            "adversarial_loss": {"type": "relativistic", "weight": ADVERSARY["weight"]},
        })  # fmt: skip
        discriminator = PatchGANDiscriminator(ADVERSARY["features"], ADVERSARY["layers"])
        generator = Upscaler(draws=True)
        generator.load_state_dict(fidelity.state_dict(), strict=False)
        discriminator.to(memory_format=torch.channels_last)
        stage = PerceptualStage(generator, discriminator, loss, None, config)
        self.train(stage, self.sizes.perceptual, 10 + seed, ADVERSARY["rate"])
        return stage.result


class Study:
    """Networks by name, trained when asked for, or found in the folder `work` if they were before."""

    def __init__(self, sizes: Sizes, work: Path | None) -> None:
        self.trainer, self.work = Trainer(sizes), work
        self.networks: dict[str, nn.Module] = {}
        if work:
            protocol = json.dumps(
                {"sizes": sizes, "batch": BATCH, "rates": RATES, "adversary": ADVERSARY, "noise": NOISE}
            )
            file = work / "protocol.json"
            if file.exists() and file.read_text(encoding="utf-8") != protocol:
                raise SystemExit(f"{work} holds networks of another protocol; name an empty folder")
            write_atomically(file, protocol)

    def known(self, name: str, empty: Callable[[], nn.Module], train: Callable[[], nn.Module]) -> nn.Module:
        """Return the network of this name: kept, read into an `empty` one, or trained."""
        file = self.work and self.work / f"{name.replace(' ', '_').replace(',', '')}.safetensors"
        if name not in self.networks and file and file.exists():
            network = empty()
            network.load_state_dict(read_state(file))
            self.networks[name] = network.requires_grad_(False).eval()
        if name not in self.networks:
            say(name)
            self.networks[name] = train()
            if file:
                write_state(file, self.networks[name].state_dict(), {})
        return self.networks[name]

    def fidelity(self) -> nn.Module:
        """Return the fidelity network."""
        return self.known("fidelity network", Upscaler, self.trainer.fidelity)

    def autoencoder(self, name: str) -> AutoEncoder:
        """Return an auto-encoder of `AUTOENCODERS`."""
        weight = AUTOENCODERS[name]
        if weight is None:
            return AutoEncoder.collapsed(self.fidelity(), SCALE)
        sizes = self.trainer.sizes
        iterations = sizes.long if name.endswith("long") else sizes.autoencoder

        def train() -> AutoEncoder:
            return self.trainer.autoencoder(self.fidelity(), weight, iterations)

        found = self.known(name, lambda: new_autoencoder(Upscaler()), train)
        assert isinstance(found, AutoEncoder)
        return found

    def fidelity_loss(self, name: str) -> nn.Module:
        """Return a fidelity loss; every one draws pixels outside [0, 1] back alike."""
        if name.startswith("AESOP"):
            return AESOPLoss(self.autoencoder(name.removeprefix("AESOP ")))
        return InRangeLoss(*LOSSES[name])

    def perceptual(self, name: str, seed: int) -> nn.Module:
        """Return the perceptual network of a fidelity loss."""

        def train() -> nn.Module:
            return self.trainer.perceptual(self.fidelity(), self.fidelity_loss(name), seed)

        return self.known(f"{name}, seed {seed}", lambda: Upscaler(draws=True), train)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("known_posterior.json"), help="all numbers, as JSON")
    parser.add_argument("--figure", type=Path, help="figure to draw, .png, .svg or .pdf")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each perceptual network")
    parser.add_argument("--work", type=Path, help="folder of trained networks, to go on after an interruption")
    parser.add_argument("--quick", action="store_true", help="a few iterations of everything")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds must be at least 1")
    require_writable(asked.out)
    if asked.figure:
        require_drawable(asked.figure)
    torch.set_num_threads(1)
    used, sizes = time.process_time(), QUICK if asked.quick else Sizes()
    study, test = Study(sizes, asked.work), TestSet(sizes.scenes, sizes.grains, seed=0)
    adversary = {**ADVERSARY, "noise": NOISE}
    setting = {"sizes": sizes._asdict(), "batch": BATCH, "rates": RATES, "adversary": adversary}
    results: dict[str, Any] = {"setting": setting, "auto-encoders": {}, "sight": {}}
    images = {"HR": [measure_images(lambda found: found.hr, test)]}
    images["fidelity network"] = [of_network(study.fidelity(), test)]

    def write() -> None:  # after every part, so that an interruption loses one network
        results["processor seconds"] = time.process_time() - used
        write_atomically(asked.out, json.dumps(rounded(results), indent=1) + "\n")

    for name in LOSSES:
        if name != "oracle":
            results["sight"][name] = summary([measure_sight(LOSSES[name][0], test)])
    for name in AUTOENCODERS:
        autoencoder = study.autoencoder(name)
        results["auto-encoders"][name] = summary([measure_autoencoder(autoencoder, test)])
        results["sight"][f"AESOP {name}"] = summary([measure_sight(AESOPLoss(autoencoder), test)])
        write()
    for seed in range(asked.seeds):
        for name in ROWS:
            images.setdefault(name, []).append(of_network(study.perceptual(name, seed), test))
            results |= compared(images)
            write()
        if asked.figure and not seed:
            draw_figure(study, test, asked.figure)
    print(tables(results))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def of_network(network: nn.Module, test: TestSet) -> Values:
    """Measure a network's SR."""
    torch.manual_seed(0)  # of the noise it draws
    return measure_images(lambda found: network(found.lr), test)


def compared(images: dict[str, list[Values]]) -> dict[str, Any]:
    """Summaries of SR by row, and of its paired differences to LR consistency's."""
    others = {name: found for name, found in images.items() if name in ROWS and name != CONSISTENCY}
    base = images.get(CONSISTENCY, [])
    return {
        "images": {name: summary(values) for name, values in images.items()},
        "minus LR consistency": {name: differences(found, base) for name, found in others.items() if base},
    }


@torch.no_grad()
def draw_figure(study: Study, test: TestSet, path: Path) -> None:
    """Draw LR, two HR pictures of it, their mean, AE(HR) and every network's SR; three scenes, one above the other."""
    shown = [
        torch.cat([found[:1] for found in images]) for images in zip(*(p[:3] for p in test.pictures[:3]), strict=True)
    ]
    lr, hr, mean = shown
    other = torch.cat([found[:1] for found in test.redrawn[:3]])
    panels = {"LR": F.interpolate(lr, scale_factor=float(SCALE)), "HR": hr, "HR of the same LR": other}
    panels["E[HR | LR]"] = mean
    panels |= {f"AE(HR) {name}": study.autoencoder(name)(hr) for name in ("LR term 1", "LR term 0.02, long")}
    panels["fidelity network"] = study.fidelity()(lr)
    torch.manual_seed(0)
    panels |= {name: study.perceptual(name, 0)(lr) for name in ROWS}
    across = math.ceil(len(panels) / 2)
    with drawn(path, 7.5, 6.6) as figure:
        for number, (title, images) in enumerate(panels.items(), 1):
            title = title.replace(", ", "\n").replace(") L", ")\nL").replace("P L", "P\nL")
            show(figure.add_subplot(2, across, number), torch.cat(list(images), dim=1), title)


if __name__ == "__main__":
    main()
