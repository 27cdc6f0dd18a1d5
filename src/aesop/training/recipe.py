"""The schema of recipes: one typed section a stage, down to the arguments of every network and loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, SerializeAsAny, model_validator
from torch import Tensor

from aesop.config import Config, extendable
from aesop.degradation import BSRGANDegradationConfig, DegradationSection, RealESRGANDegradationConfig
from aesop.files import printable
from aesop.losses.adversarial import LeastSquaresGANConfig, PlainGANConfig, RelativisticGANConfig
from aesop.losses.aesop import AESOPLossConfig
from aesop.losses.artifact import ArtifactLossConfig
from aesop.losses.gradient import GradientLossConfig
from aesop.losses.grid import GridLossConfig
from aesop.losses.low_pass import LowPassLossConfig
from aesop.losses.lr_consistency import LRConsistencyLossConfig
from aesop.losses.perceptual import PerceptualLossConfig
from aesop.losses.pixel import PixelLossConfig
from aesop.losses.term import LossContext, LossSection
from aesop.networks.discriminators import DiscriminatorConfig
from aesop.networks.discriminators.vgg import VGGDiscriminatorConfig
from aesop.networks.generators import GeneratorConfig
from aesop.networks.section import Scale
from aesop.networks.spsr import SPSRConfig
from aesop.run import STAGES

FidelityLossConfig = Annotated[
    SerializeAsAny[
        Annotated[
            PixelLossConfig | LowPassLossConfig | LRConsistencyLossConfig | AESOPLossConfig,
            Field(discriminator="type"),
        ]
    ],
    extendable(LossSection),
]
AdversarialLossConfig = Annotated[
    RelativisticGANConfig | PlainGANConfig | LeastSquaresGANConfig, Field(discriminator="type")
]
DegradationConfig = Annotated[
    SerializeAsAny[Annotated[RealESRGANDegradationConfig | BSRGANDegradationConfig, Field(discriminator="type")]],
    extendable(DegradationSection),
]
TrackerName = Literal["csv", "tensorboard", "wandb", "mlflow", "trackio"]
Beta = Annotated[float, Field(ge=0, lt=1)]
BEST = "number of a validation by which its snapshot is the best"
#: A model file, a name of `aesop models` or an address `hf://OWNER/NAME`.
ModelPath = Annotated[Path, PlainSerializer(printable, return_type=str, when_used="json")]


class StageConfig(Config):
    """How to train one stage. The defaults are the paper's."""

    iterations: int = Field(ge=1)
    crop: int = Field(default=128, ge=8, description="side of the HR crops, a multiple of the scale")
    batch: int = Field(default=16, ge=1, description="crops an iteration on each device")
    total_batch: int | None = Field(
        default=None,
        ge=1,
        description="crops an iteration on all devices together, which share them; unset, as `batch`",
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="Adam's, of every network of the stage")
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.99), description="Adam's")
    warmup: int = Field(default=0, ge=0, description="iterations over which the learning rate rises from zero")
    milestones: tuple[int, ...] = Field(default=(), description="iterations at which the learning rate is halved")
    cosine: bool = Field(default=False, description="let the learning rate fall to zero along half a cosine")
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the exponential moving average of the weights")
    log_every: int = Field(default=100, ge=1, description="iterations between two log lines")
    validate_every: int = Field(default=5000, ge=1, description="iterations between validations, each with a snapshot")
    checkpoint_every: int = Field(default=5000, ge=1, description="iterations between two checkpoints")
    keep_snapshots: int | None = Field(
        default=None, ge=1, description="of the snapshots, keep the last so many and the best; unset, all"
    )
    best: Any  # each stage has numbers of its own

    def batch_of(self, devices: int) -> int:
        """Return how many crops each of so many devices takes; raises ValueError if they cannot share `total_batch`."""
        if self.total_batch is None:
            return self.batch
        if self.total_batch % devices:
            raise ValueError(f"total_batch: {self.total_batch} crops cannot be shared by {devices} devices")
        return self.total_batch // devices


class FidelityConfig(StageConfig):
    """Stage 1: the fidelity network, trained with the pixel loss alone, or found in a file."""

    weights: ModelPath | None = Field(
        default=None, description="take the network from this file instead of training it"
    )
    start_weights: ModelPath | None = Field(default=None, description="file that training starts from: fine-tuning")
    body_weights: ModelPath | None = Field(
        default=None, description="take the body of an upconv-head from this file and train the head alone"
    )
    iterations: int = Field(default=1_000_000, ge=1)
    best: Literal["psnr", "lr_psnr", "ae_psnr", "niqe"] = Field(default="psnr", description=BEST)
    learning_rate: float = Field(default=2e-4, gt=0, description="Adam's")


class AutoEncoderConfig(StageConfig):
    """Stage 2: the auto-encoder (eq. 4-6), or a file of one. Its decoder starts as the fidelity network."""

    weights: ModelPath | None = Field(default=None, description="take it from this file instead of training it")
    iterations: int = Field(default=100_000, ge=1)
    best: Literal["ae_psnr", "bottleneck_psnr"] = Field(default="ae_psnr", description=BEST)
    crop: int = Field(default=256, ge=8, description="side of the HR crops, a multiple of the scale")
    encoder: Literal["learned", "bicubic"] = Field(
        default="learned",
        description="bicubic: a plain downscaler before the fidelity network, nothing to train (table 3, config (a))",
    )
    features: int | None = Field(default=None, ge=1, description="width of the encoder's body; unset, the decoder's")
    growth: int = Field(default=32, ge=1, description="growth of the encoder's RRDBs")
    blocks: int = Field(default=2, ge=1, description="number of the encoder's RRDBs")
    decoder: GeneratorConfig | None = Field(default=None, description="another decoder than the recipe's generator")
    decoder_weights: ModelPath | None = Field(default=None, description="fidelity network that the decoder starts as")
    freeze_decoder: bool = Field(default=False, description="train the encoder alone (the real-world one)")
    start: Literal["kaiming", "downscaler"] = Field(
        default="kaiming", description="first weights: the paper's, or a bicubic downscaler's (short trainings)"
    )
    lr_weight: float = Field(default=1.0, ge=0, description="weight of |E(y) - x|_1 (eq. 4); 0 is table 3's config (b)")
    hr_weight: float = Field(default=1.0, gt=0, description="weight of |D(E(y)) - y|_1 (eq. 5)")


class PerceptualConfig(StageConfig):
    """Stage 3: the perceptual network (eq. 9; eq. 3 with the pixel loss). It starts as the fidelity network."""

    iterations: int = Field(default=300_000, ge=1)
    best: Literal["psnr", "lr_psnr", "ae_psnr", "niqe"] = Field(default="niqe", description=BEST)
    generator: SPSRConfig | None = Field(
        default=None, description="a network built around the recipe's generator; unset, that generator itself"
    )
    fidelity_loss: FidelityLossConfig
    perceptual_loss: Annotated[SerializeAsAny[PerceptualLossConfig], extendable(LossSection)]
    adversarial_loss: AdversarialLossConfig = RelativisticGANConfig()
    artifact_loss: ArtifactLossConfig = ArtifactLossConfig(weight=1.0)
    grid_loss: GridLossConfig = Field(default=GridLossConfig(weight=0.0), description="not in the paper; see docs")
    gradient_loss: GradientLossConfig | None = Field(default=None, description="SPSR's losses on gradient maps")
    discriminator: DiscriminatorConfig = VGGDiscriminatorConfig()
    discriminator_weights: ModelPath | None = Field(default=None, description="file that the discriminator starts from")

    def losses(self) -> dict[str, LossSection]:
        """Return the terms of eq. 9 but L_adv, and those that are not in it, by their names in a log."""
        sections = {
            self.fidelity_loss.type: self.fidelity_loss,
            "perceptual": self.perceptual_loss,
            "artifact": self.artifact_loss,
            "grid": self.grid_loss,
            "gradient": self.gradient_loss,
        }
        return {name: section for name, section in sections.items() if section is not None}

    def build_losses(self, context: LossContext) -> dict[str, Callable[..., Tensor]]:
        """Build the losses whose weight is not 0, unweighted."""
        return {name: section.build(context) for name, section in self.losses().items() if section.weight}

    @property
    def uses_autoencoder(self) -> bool:
        """Whether one of its losses needs the auto-encoder, which then is trained first."""
        return any(section.uses_autoencoder for section in self.losses().values())

    @model_validator(mode="after")
    def _something_is_trained(self) -> PerceptualConfig:
        if not any(section.weight for section in (*self.losses().values(), self.adversarial_loss)):
            raise ValueError("all losses have weight 0; raise one of them")
        return self


class DataConfig(Config):
    """How the pictures are used."""

    held_out: int = Field(default=10, ge=1, description="pictures kept for validation, where no folder is named")
    validation_crop: int = Field(default=512, ge=32, description="largest side of the HR centre that is validated on")
    shrink: int = Field(
        default=1, ge=1, le=8, description="downscale HR by this first: full-size JPEGs carry artefacts"
    )
    workers: int = Field(default=0, ge=0, description="processes that cut crops")


class Recipe(Config):
    """One system: everything that decides what is trained, but for the pictures."""

    name: str
    about: str = Field(default="", description="one line: what it is and which row of which table")
    scale: Scale
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["32-true", "tf32", "bf16-mixed"] = Field(
        default="32-true", description="tf32: NVIDIA's tensor cores round to 10 bits what they multiply"
    )
    compile: Literal["default", "reduce-overhead"] | None = Field(
        default=None, description="let torch compile the networks; reduce-overhead: into CUDA graphs"
    )
    checkpointing: bool = Field(
        default=False, description="keep less for gradients, and run the networks' blocks again for them"
    )
    steps: int | None = Field(default=None, ge=1, description="cut every stage to this many iterations: a trial")
    trackers: tuple[TrackerName, ...] = Field(
        default=("tensorboard",), description="where numbers and pictures go beside the run folder's own log"
    )
    generator: GeneratorConfig
    data: DataConfig = DataConfig()
    degradation: DegradationConfig | None = Field(
        default=None, description="how LR is made of HR, but for the auto-encoder; unset, as the pictures have it"
    )
    fidelity: FidelityConfig
    autoencoder: AutoEncoderConfig | None = None
    perceptual: PerceptualConfig | None = Field(default=None, description="unset, training ends with the stages before")

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.perceptual and self.perceptual.uses_autoencoder and self.autoencoder is None:
            kind = self.perceptual.fidelity_loss.type
            raise ValueError(f"perceptual.fidelity_loss is {kind}, which needs a section `autoencoder`")
        _prefixed("generator", self.generator.check, self.scale)
        if self.autoencoder and self.autoencoder.decoder:
            _prefixed("autoencoder.decoder", self.autoencoder.decoder.check, self.scale)
        for name in self.trained_stages():
            crop = self.stage(name).crop
            if crop % self.scale:
                raise ValueError(f"{name}.crop: {crop} is not a multiple of the scale {self.scale}")
            network = self.network(name)
            if crop % (multiple := network.multiple * self.scale):
                raise ValueError(
                    f"{name}.crop: {crop}; {network.type} works in windows, so take a multiple of {multiple}"
                )
            if self.degradation is not None and name != "autoencoder":
                self.degradation.check(self.scale, crop)
        if self.fidelity.start_weights is not None and self.fidelity.body_weights is not None:
            raise ValueError("fidelity.start_weights: fidelity.body_weights is set as well; leave out one of the two")
        if self.fidelity.body_weights is not None and self.generator.type != "upconv-head":
            raise ValueError("fidelity.body_weights: only a generator of the type upconv-head has a body; drop it")
        if self.autoencoder:
            self._check_autoencoder(self.autoencoder)
        if self.perceptual:
            self._check_perceptual(self.perceptual)
        return self

    def _check_autoencoder(self, autoencoder: AutoEncoderConfig) -> None:
        if autoencoder.encoder == "bicubic" and autoencoder.weights is not None:
            raise ValueError("autoencoder.weights: a bicubic encoder has none; leave out one of the two")
        fresh = autoencoder.decoder is not None and autoencoder.decoder_weights is None
        if fresh and autoencoder.weights is None and (autoencoder.encoder == "bicubic" or autoencoder.freeze_decoder):
            raise ValueError(
                "autoencoder.decoder: it would never be trained; name the fidelity network that it is, "
                "autoencoder.decoder_weights=FILE"
            )

    def _check_perceptual(self, perceptual: PerceptualConfig) -> None:
        _prefixed("perceptual.crop", perceptual.discriminator.check, perceptual.crop)
        for section in perceptual.losses().values():
            _prefixed("perceptual.crop", section.check, perceptual.crop)
        if perceptual.generator is not None:
            sections = perceptual.generator, self.generator
            around, within = (section.model_dump(exclude={"type"}) for section in sections)
            if self.generator.type != "rrdb" or around != within:
                raise ValueError(
                    "perceptual.generator: spsr is built around the recipe's generator; let that be an rrdb of the "
                    "same features, blocks and growth"
                )
            if perceptual.gradient_loss is None:
                raise ValueError("perceptual.generator: its branch needs a section `perceptual.gradient_loss`")

    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this recipe needs, in order: without the AESOP loss, no auto-encoder."""
        if self.perceptual is None:
            return ("fidelity", "autoencoder") if self.autoencoder else ("fidelity",)
        return STAGES if self.perceptual.uses_autoencoder else ("fidelity", "perceptual")

    def weights(self, name: str) -> Path | None:
        """Return the file that a stage's network is taken from, None if it is trained."""
        return getattr(self.stage(name), "weights", None)

    def trained_stages(self) -> tuple[str, ...]:
        """Names of the stages that are trained, in order: not those of a file, nor a bicubic encoder."""
        return tuple(
            name
            for name in self.stages()
            if self.weights(name) is None and getattr(self.stage(name), "encoder", None) != "bicubic"
        )

    def stage(self, name: str) -> StageConfig:
        """Return a stage's section."""
        return getattr(self, name)

    def source_crop(self, name: str) -> int:
        """Return the side of the HR crops that a stage cuts from pictures: a degradation wants room around its own."""
        crop = self.stage(name).crop
        return crop if self.degradation is None or name == "autoencoder" else self.degradation.source_crop

    def network(self, name: str) -> GeneratorConfig:
        """Return the section of the generator that a stage trains: the auto-encoder's is its decoder."""
        own = {"autoencoder": "decoder", "perceptual": "generator"}.get(name, "")
        return getattr(self.stage(name), own, None) or self.generator

    def iterations(self, name: str) -> int:
        """Return how many iterations a stage is trained for."""
        planned = self.stage(name).iterations
        return planned if self.steps is None else min(planned, self.steps)


def _prefixed(key: str, check: Callable[[Any], object], value: object) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
