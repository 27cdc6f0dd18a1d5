"""Training in the known world (`known_world.py`): networks, losses and auto-encoders.

The stages and losses are the package's own. All perceptual networks have the same start, order of data and
discriminator; they differ only in the fidelity loss and the adversarial loss's weight.
"""

from __future__ import annotations

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

from aesop.autoencoder import AutoEncoder, initialise_as_downscaler
from aesop.files import write_atomically
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
from known_world import SCALE, SIDE, draw, seen, unseen


class Sizes(NamedTuple):
    """Iterations of each training, and numbers of pictures."""

    fidelity: int = 1200
    autoencoder: int = 500
    #: Of an auto-encoder that has time to learn more than LR, and of the fidelity network that is its control.
    long: int = 2500
    perceptual: int = 400
    pool: int = 1024
    scenes: int = 16
    tuning_scenes: int = 10
    grains: int = 8


QUICK = Sizes(fidelity=20, autoencoder=3, long=6, perceptual=3, pool=32, scenes=6, tuning_scenes=6, grains=3)
BATCH = 8
RATES = {"fidelity": 3e-3, "autoencoder": 1e-3}
#: A small PatchGAN, tuned on the texture's energy with the fidelity loss `pixel 0.01` only. (Two levels gave 1.7 times
#: HR's energy. Without noise, 300 to 500 iterations gave no texture, but outlines of the shapes.)
ADVERSARY: dict[str, Any] = {"features": 24, "layers": 1, "rate": 3e-4, "noise": 0.1}


class Upscaler(nn.Module):
    """The generator: residual blocks at LR size, then nearest-neighbour upsampling and convolutions.

    A perceptual network `draws`: after each upsampling it adds noise of a learnt strength, since LR holds nothing from
    which a texture could be made.
    """

    def __init__(self, draws: bool = False, features: int = 24, narrow: int = 12, blocks: int = 3) -> None:
        super().__init__()
        widths = ((3, features), (features, features), (features, narrow), (narrow, narrow), (narrow, 3))
        self.first, self.up1, self.up2, self.hr, self.last = (nn.Conv2d(*pair, 3, padding=1) for pair in widths)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        sizes = (features, narrow) if draws else ()
        self.noise = nn.ParameterList(nn.Parameter(torch.full((1, size, 1, 1), ADVERSARY["noise"])) for size in sizes)
        self.to(memory_format=torch.channels_last)  # twice as fast for such narrow layers on a CPU

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, 3, 4h, 4w); the layers' output is added to bilinear upscaling."""
        x = self.body(F.leaky_relu(self.first(lr), 0.2))
        for number, layer in enumerate((self.up1, self.up2)):
            x = layer(F.interpolate(x, scale_factor=2.0))
            if len(self.noise):
                x = x + self.noise[number] * torch.randn_like(x[:, :1])
            x = F.leaky_relu(x, 0.2)
        x = self.last(F.leaky_relu(self.hr(x), 0.2))
        return x + F.interpolate(lr, scale_factor=float(SCALE), mode="bilinear", align_corners=False)


class InRangeLoss(nn.Module):
    """A weighted loss of SR clamped to [0, 1], plus the distance of SR from that range, as in AESOPLoss."""

    def __init__(self, loss: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        return self.weight * self.loss(sr.clamp(0, 1), hr) + F.l1_loss(sr, sr.detach().clamp(0, 1))


class OracleLoss(nn.Module):
    """The ideal loss, which only this world allows: the pixel loss without what LR does not show of textured areas."""

    strength: Tensor  # the texture's, for the current batch

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W), a scalar."""
        error = sr - hr
        return (seen(error) + (self.strength == 0) * unseen(error)).abs().mean()


#: Weight of each auto-encoder's LR term; None is (a), the downscaler followed by a fidelity network.
AUTOENCODERS: dict[str, float | None] = {
    "(a)": None, "(a), long": None, "LR term 1": 1.0, "LR term 0.02, long": 0.02,
}  # fmt: skip
#: Fidelity losses other than AESOP, and their weights.
LOSSES: dict[str, tuple[nn.Module, float]] = {
    "LR consistency": (LRConsistencyLoss(SCALE), 1.0), "low-pass": (LowPassLoss(1.5), 1.0),
    "pixel 1": (PixelLoss(), 1.0), "pixel 0.01": (PixelLoss(), 0.01), "oracle": (OracleLoss(), 1.0),
}  # fmt: skip


class Study:
    """Trains networks when they are asked for, or reads them from the folder `work` if they were trained before."""

    def __init__(self, sizes: Sizes, work: Path | None) -> None:
        self.sizes, self.work = sizes, work
        self.pool = draw(sizes.pool, torch.Generator().manual_seed(1))
        self.networks: dict[str, Any] = {}
        self.protocol = {"sizes": sizes._asdict(), "batch": BATCH, "rates": RATES, "adversary": ADVERSARY}
        if work:
            protocol, file = json.dumps(self.protocol), work / "protocol.json"
            if file.exists() and file.read_text(encoding="utf-8") != protocol:
                raise SystemExit(f"--work {work} holds networks of another protocol; choose an empty folder")
            write_atomically(file, protocol)

    def known(
        self, name: str, build: Callable[[], Stage[Any]], iterations: int, seeds: tuple[int, int], falls: bool = True
    ) -> Any:
        """Return a trained network from memory, from its file or by training; `seeds` are for weights and data."""
        if name not in self.networks:
            torch.manual_seed(seeds[0])
            stage = build()
            file = self.work and self.work / f"{name.replace(' ', '_').replace(',', '')}.safetensors"
            if file and file.exists():
                stage.result.load_state_dict(read_state(file))
            else:
                print(time.strftime("%H:%M:%S"), name, flush=True)
                self.train(stage, iterations, seeds[1], falls)
                if file:
                    write_state(file, stage.result.state_dict(), {})
            self.networks[name] = stage.result
        return self.networks[name]

    def train(self, stage: Stage[Any], iterations: int, seed: int, falls: bool) -> None:
        """Train on pictures of the pool with new texture each time; `falls`: the learning rate follows a cosine."""
        generator = torch.Generator().manual_seed(seed)
        for iteration in range(iterations):
            for optimizer in stage.optimizers if falls else ():
                fall = (1 + math.cos(math.pi * iteration / iterations)) / 2
                optimizer.param_groups[0]["lr"] = stage.config.learning_rate * fall
            chosen = torch.randint(len(self.pool.lr), (BATCH,), generator=generator)
            lr, _, mean, strength = (images[chosen] for images in self.pool[:4])
            LOSSES["oracle"][0].strength = strength
            stage.step(lr, self.pool._replace(lr=lr, mean=mean, strength=strength).redrawn(generator))

    def fidelity(self, long: bool = False) -> nn.Module:
        """Return the fidelity network; with `long`, trained on with the long auto-encoder's pictures and rate."""
        rate = RATES["autoencoder" if long else "fidelity"]
        config = FidelityConfig(ema=0.99, learning_rate=rate)
        if not long:
            return self.known(
                "fidelity network", lambda: FidelityStage(Upscaler(), config), self.sizes.fidelity, (0, 2)
            )
        start = copy.deepcopy(self.fidelity()).requires_grad_(True)
        name = "fidelity network, long"
        return self.known(name, lambda: FidelityStage(start, config), self.sizes.long, (0, 3), falls=False)

    def autoencoder(self, name: str) -> AutoEncoder:
        """Return an auto-encoder of `AUTOENCODERS`; it starts as the downscaler and the fidelity network."""
        weight, long = AUTOENCODERS[name], name.endswith("long")
        if weight is None:
            return AutoEncoder.collapsed(copy.deepcopy(self.fidelity(long)), SCALE)
        decoder = copy.deepcopy(self.fidelity())
        config = AutoEncoderConfig(lr_weight=weight, ema=0.99, learning_rate=RATES["autoencoder"])

        def build() -> AutoEncoderStage:
            autoencoder = AutoEncoder(decoder.requires_grad_(True), SCALE, growth=8, blocks=1)
            initialise_as_downscaler(autoencoder.encoder, SCALE)
            return AutoEncoderStage(autoencoder.to(memory_format=torch.channels_last), config)

        return self.known(name, build, self.sizes.long if long else self.sizes.autoencoder, (0, 3), falls=False)

    def fidelity_loss(self, name: str) -> nn.Module:
        """Return a fidelity loss; all of them treat pixels outside [0, 1] alike."""
        if name.startswith("AESOP"):
            return AESOPLoss(self.autoencoder(name.removeprefix("AESOP ")))
        return InRangeLoss(*LOSSES[name])

    def perceptual(self, name: str, weight: float, seed: int) -> nn.Module:
        """Return the network trained with a fidelity loss and an adversarial loss of this weight, nothing else."""
        start, loss = self.fidelity().state_dict(), self.fidelity_loss(name)
        config = PerceptualConfig.model_validate({
            "crop": SIDE, "batch": BATCH, "learning_rate": ADVERSARY["rate"], "ema": 0.98,
            "fidelity_loss": {"type": "pixel", "weight": 1}, "artifact_loss": {"weight": 0},
            "perceptual_loss": {"weight": 0, "features": {"type": "efficientnet-lite0"}},  # not run
            "adversarial_loss": {"type": "relativistic", "weight": weight},
        })  # fmt: skip

        def build() -> PerceptualStage:
            discriminator = PatchGANDiscriminator(ADVERSARY["features"], ADVERSARY["layers"])
            generator = Upscaler(draws=True)
            generator.load_state_dict(start, strict=False)
            return PerceptualStage(
                generator, discriminator.to(memory_format=torch.channels_last), {"pixel": loss}, config
            )

        name = f"{name}, adversary {weight:g}, seed {seed}"
        return self.known(name, build, self.sizes.perceptual, (seed, 10 + seed))
