"""How far reduced precision, or another auto-encoder, turns the gradient of each loss: cosines on real pictures.

    python benchmarks/gradients.py BENCHMARK_DIR... [--autoencoder FILE]...

Takes the middle 128 pixels of each picture. SR is made by the box's `clean-x4` with 1 % of noise on its weights,
because without it the network would equal its own moving average. The auto-encoder is the box's; files given are
compared with it. Features are those of EfficientNet-lite0 and of a VGG19 with random weights; the discriminator is
untrained and has 16 features.

tf32 and float16 are simulated as tensor cores compute convolutions: rounded operands, sums in float32. Prints the
median, minimum and maximum over the crops. docs/training.md quotes the output.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from aesop import AESOPLoss, AutoEncoder, load_generator
from aesop.data.benchmarks import open_benchmark
from aesop.data.pictures import to_float
from aesop.losses.adversarial import RelativisticGANConfig
from aesop.losses.artifact import artifact_loss
from aesop.losses.gradient import gradient_loss
from aesop.losses.grid import grid_loss
from aesop.losses.low_pass import LowPassLoss
from aesop.losses.lr_consistency import LRConsistencyLoss
from aesop.losses.perceptual import PerceptualLoss
from aesop.networks.discriminators.vgg import VGGDiscriminator
from aesop.networks.features import EfficientNetFeatures
from iterations import RandomVGG19

CROP, BATCH = 128, 4
Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", metavar="BENCHMARK_DIR", type=Path, nargs="+")
    parser.add_argument("--autoencoder", metavar="FILE", type=Path, action="append", default=[])
    asked = parser.parse_args()
    torch.manual_seed(0)
    average = load_generator("clean-x4").model.eval().requires_grad_(False)
    generator = copy.deepcopy(average)
    for weight in generator.parameters():
        weight.mul_(1 + 0.01 * torch.randn_like(weight))
    batches = list(batches_of(asked.benchmarks))
    print(f"{sum(len(hr) for _, hr in batches)} crops; cosine with the float32 gradient: median (minimum to maximum)")
    print("bf16-mixed: the loss alone | SR made in bf16 as well")
    discriminator = VGGDiscriminator(CROP, 16)

    def adversarial(sr: Tensor, hr: Tensor, _: Tensor) -> Tensor:
        return RelativisticGANConfig().generator(discriminator(hr), discriminator(sr))

    losses: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "AESOP": _without_average(AESOPLoss.pretrained("x4")),
        "perceptual, EfficientNet-lite0": _without_average(
            PerceptualLoss(EfficientNetFeatures([0, 2, 4, 10]), [1.0] * 4)
        ),
        "perceptual, VGG19": _without_average(PerceptualLoss(RandomVGG19(list(VGG19)), list(VGG19.values()))),
        "adversarial": adversarial,
        "adversarial, D in float32": torch.autocast("cpu", enabled=False)(adversarial),
        "artifact": artifact_loss,
        "low-pass": _without_average(LowPassLoss(sigma=1.5)),
        "LR consistency": _without_average(LRConsistencyLoss(4)),
        "gradient (SPSR)": _without_average(gradient_loss),
        "grid": _without_average(partial(grid_loss, scale=4)),
        "pixel": _without_average(F.l1_loss),
    }
    exact = [images(generator, average, lr, mixed=False) for lr, _ in batches]
    rounded = [images(generator, average, lr, mixed=True) for lr, _ in batches]
    for name, loss in losses.items():
        alone, both = [], []
        for (_, hr), (sr, ema_sr), (rounded_sr, rounded_ema_sr) in zip(batches, exact, rounded, strict=True):
            expected = gradient(lambda sr: loss(sr, hr, ema_sr), sr)  # noqa: B023
            alone += cosines(expected, gradient(lambda sr: loss(sr, hr, ema_sr), sr, mixed=True))  # noqa: B023
            found = gradient(lambda sr: loss(sr, hr, rounded_ema_sr), rounded_sr, mixed=True)  # noqa: B023
            both += cosines(expected, found)
        print(f"  {name:32} {spread(alone)} | {spread(both)}")
    print("AESOP loss with other arithmetic or auto-encoders, against the box's auto-encoder in float32")
    own = AESOPLoss.pretrained("x4")
    others: dict[str, Loss] = {
        "tf32": partial(_rounding, to_tf32, own),
        "float16": partial(_rounding, lambda value: value.half().float(), own),
        "bfloat16": AESOPLoss.pretrained("x4").bfloat16(),
        **{file.name: AESOPLoss(AutoEncoder.load(file)) for file in asked.autoencoder},
        "for comparison: LR consistency": LRConsistencyLoss(4),
        "for comparison: pixel loss": F.l1_loss,
    }
    for name, other in others.items():
        found = []
        for (_, hr), (sr, _) in zip(batches, exact, strict=True):
            expected = gradient(lambda sr: own(sr, hr), sr)  # noqa: B023
            found += cosines(expected, gradient(lambda sr: other(sr, hr), sr))  # noqa: B023
        print(f"  {name:32} {spread(found)}")


#: The paper's layers and their weights.
VGG19 = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}


def batches_of(folders: list[Path]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of LR and HR crops."""
    crops = []
    for folder in folders:
        for pair in open_benchmark(folder, 4).pairs:
            hr, lr = (to_float(picture) for picture in pair.read(4))
            top, left = (max(0, (side - CROP // 4) // 2) for side in lr.shape[-2:])
            lr = lr[:, top : top + CROP // 4, left : left + CROP // 4]
            crops.append((lr, hr[:, 4 * top : 4 * top + CROP, 4 * left : 4 * left + CROP]))
    for first in range(0, len(crops) - len(crops) % BATCH or 1, BATCH):
        lr, hr = (torch.stack(found) for found in zip(*crops[first : first + BATCH], strict=True))
        yield lr, hr


@torch.no_grad()
def images(generator: nn.Module, average: nn.Module, lr: Tensor, mixed: bool) -> tuple[Tensor, Tensor]:
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        return generator(lr).float(), average(lr).float()


def gradient(loss: Callable[[Tensor], Tensor], sr: Tensor, mixed: bool = False) -> Tensor:
    sr = sr.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        value = loss(sr)
    return torch.autograd.grad(value, sr)[0]


def cosines(first: Tensor, second: Tensor) -> list[float]:
    return F.cosine_similarity(first.flatten(1).double(), second.flatten(1).double()).tolist()


def spread(values: list[float]) -> str:
    return f"{median(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def _without_average(loss: Loss) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda sr, hr, _: loss(sr, hr)


def _rounding(to: Callable[[Tensor], Tensor], loss: Loss, sr: Tensor, hr: Tensor) -> Tensor:
    with _Rounding(to):
        return loss(sr, hr)


def to_tf32(value: Tensor) -> Tensor:
    """Round to a mantissa of 10 bits."""
    return ((value.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class _Rounding(TorchFunctionMode):
    """Rounds the operands of convolutions, forward and backward."""

    def __init__(self, to: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.to = to

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d:
            return _Convolution.apply(self.to, *args[:5])
        return func(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, to: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.to, ctx.size, ctx.options = to, x.shape, (stride, padding)
        ctx.save_for_backward(to(weight))
        return torch.conv2d(to(x), to(weight), bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (weight,), (gradient,) = ctx.saved_tensors, gradients
        factor = 2.0**14 / gradient.abs().max()  # as loss scaling does: float16 has no numbers below 1e-7
        rounded = ctx.to(gradient * factor) / factor
        return None, conv2d_input(ctx.size, weight, rounded, *ctx.options), None, None, None, None


if __name__ == "__main__":
    main()
