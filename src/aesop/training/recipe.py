"""What a recipe may say: one typed section a stage, down to the arguments of every network and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from aesop.config import Config
from aesop.losses.aesop import AESOPLossConfig
from aesop.losses.pixel import PixelLossConfig
from aesop.networks.discriminators import VGGDiscriminatorConfig
from aesop.networks.features import EfficientNetConfig, VGG19Config
from aesop.networks.rrdb import RRDBConfig
from aesop.networks.srvgg import SRVGGConfig

GeneratorConfig = Annotated[RRDBConfig | SRVGGConfig, Field(discriminator="type")]
FidelityLossConfig = Annotated[PixelLossConfig | AESOPLossConfig, Field(discriminator="type")]
FeaturesConfig = Annotated[VGG19Config | EfficientNetConfig, Field(discriminator="type")]

#: The stages in the order in which they are trained.
STAGES = ("fidelity", "autoencoder", "perceptual")


Beta = Annotated[float, Field(ge=0, lt=1)]


class StageConfig(Config):
    """How to train one stage. What is not said is the paper's."""

    iterations: int = Field(ge=1)
    crop: int = Field(128, ge=8, description="side of the HR crops, a multiple of the scale")
    batch: int = Field(16, ge=1, description="crops an iteration on each device")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's, of every network of the stage")
    betas: tuple[Beta, Beta] = Field((0.9, 0.99), description="Adam's")
    warmup: int = Field(0, ge=0, description="iterations over which the learning rate rises from zero")
    milestones: tuple[int, ...] = Field((), description="iterations at which the learning rate is halved")
    cosine: bool = Field(False, description="let the learning rate fall to zero along half a cosine")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the exponential moving average of the weights")
    log_every: int = Field(100, ge=1, description="iterations between two log lines")
    validate_every: int = Field(5000, ge=1, description="iterations between two validations, each with a snapshot")
    checkpoint_every: int = Field(5000, ge=1, description="iterations between two checkpoints")


class FidelityConfig(StageConfig):
    """Stage 1: the fidelity network, trained with the pixel loss alone, or found in a file."""

    weights: Path | None = Field(None, description="take the network from this file instead of training it")
    iterations: int = Field(1_000_000, ge=1)
    learning_rate: float = Field(2e-4, gt=0, description="Adam's")


class AutoEncoderConfig(StageConfig):
    """Stage 2: the auto-encoder (eq. 4-6), or a file of one. Its decoder starts as the fidelity network."""

    weights: Path | None = Field(None, description="take the auto-encoder from this file instead of training it")
    iterations: int = Field(100_000, ge=1)
    crop: int = Field(256, ge=8, description="side of the HR crops, a multiple of the scale")
    growth: int = Field(32, ge=1, description="growth of the encoder's RRDBs")
    blocks: int = Field(2, ge=1, description="number of the encoder's RRDBs")
    start: Literal["kaiming", "downscaler"] = Field(
        "kaiming", description="the encoder's first weights: the paper's, or a bicubic downscaler's (short trainings)"
    )
    lr_weight: float = Field(1.0, ge=0, description="weight of |E(y) - x|_1 (eq. 4)")
    hr_weight: float = Field(1.0, gt=0, description="weight of |D(E(y)) - y|_1 (eq. 5)")


class PerceptualLossConfig(Config):
    """L_percep."""

    weight: float = Field(1.0, ge=0)
    features: FeaturesConfig


class AdversarialLossConfig(Config):
    """L_adv: the relativistic average GAN."""

    weight: float = Field(0.005, gt=0)


class ArtifactLossConfig(Config):
    """L_art of LDL."""

    weight: float = Field(1.0, ge=0)


class PerceptualConfig(StageConfig):
    """Stage 3: the perceptual network (eq. 9; eq. 3 with the pixel loss). It starts as the fidelity network."""

    iterations: int = Field(300_000, ge=1)
    fidelity_loss: FidelityLossConfig
    perceptual_loss: PerceptualLossConfig
    adversarial_loss: AdversarialLossConfig = AdversarialLossConfig(weight=0.005)
    artifact_loss: ArtifactLossConfig = ArtifactLossConfig(weight=1.0)
    discriminator: VGGDiscriminatorConfig = VGGDiscriminatorConfig(features=64)


class DataConfig(Config):
    """How the pictures are used."""

    held_out: int = Field(10, ge=1, description="pictures kept from training for validation, where no folder is named")
    validation_crop: int = Field(512, ge=32, description="largest side of the HR centre that is validated on")
    shrink: int = Field(1, ge=1, le=8, description="downscale HR by this first: full-size JPEGs carry artefacts")
    workers: int = Field(0, ge=0, description="processes that cut crops")


class Recipe(Config):
    """One system: everything that decides what is trained, but for the pictures."""

    name: str
    about: str = Field("", description="one line: what it is and which row of which table")
    scale: Literal[2, 3, 4, 8]
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    steps: int | None = Field(None, ge=1, description="cut every stage to this many iterations: a trial")
    generator: GeneratorConfig
    data: DataConfig = Field(default_factory=lambda: DataConfig.model_validate({}))
    fidelity: FidelityConfig
    autoencoder: AutoEncoderConfig | None = None
    perceptual: PerceptualConfig

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.perceptual.fidelity_loss.type == "aesop" and self.autoencoder is None:
            raise ValueError("perceptual.fidelity_loss is aesop, which needs a section `autoencoder`")
        if self.generator.type == "rrdb" and self.scale == 3:
            raise ValueError("generator: RRDB doubles its size, so it has no scale 3; take srvgg")
        for name in self.trained_stages():
            crop = self.stage(name).crop
            if crop % self.scale:
                raise ValueError(f"{name}.crop: {crop} is no multiple of the scale {self.scale}")
        size = self.perceptual.crop
        while size > 4:
            if size % 2:
                raise ValueError(
                    f"perceptual.crop: the discriminator cannot halve {self.perceptual.crop} down to 4 pixels or "
                    "fewer; take 64, 96, 128, 192 or 256"
                )
            size //= 2
        if self.perceptual.perceptual_loss.features.type == "vgg19" and self.perceptual.crop < 32:
            raise ValueError("perceptual.crop: VGG19 halves its input four times; take 32 pixels or more")
        return self

    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this recipe needs, in order: without the AESOP loss, no auto-encoder."""
        return STAGES if self.perceptual.fidelity_loss.type == "aesop" else ("fidelity", "perceptual")

    def weights(self, name: str) -> Path | None:
        """Return the file that a stage's network is taken from, None if it is trained."""
        return getattr(self.stage(name), "weights", None)

    def trained_stages(self) -> tuple[str, ...]:
        """Names of the stages that are trained, in order."""
        return tuple(name for name in self.stages() if self.weights(name) is None)

    def stage(self, name: str) -> StageConfig:
        """Return a stage's section."""
        return getattr(self, name)

    def iterations(self, name: str) -> int:
        """Return how many iterations a stage is trained for."""
        planned = self.stage(name).iterations
        return planned if self.steps is None else min(planned, self.steps)
