"""CALGAN's mixture of classifiers: each position of a picture is sent to one expert by its content.

Park et al. 2023, Content-Aware Local GAN for Photo-Realistic Super-Resolution. Every number here is the released
code's (jkpark0825/CAL_GAN): the network is `MOD` in basicsr/archs/discriminator_arch.py with `CodeReduction` in
basicsr/archs/module.py, the regularisers are `cos_similarity`, `lda_loss` and `load_balancing_loss` in
basicsr/models/esrgan_model.py, the sizes stand in options/train/CAL_GAN/train_Synthetic_CAL_GAN.yml. There it is
trained by the relativistic average GAN, weight 0.005, on crops of 256. The parameter names are ours. As in that code,
routing is hard and carries no gradient, so the router learns from the load balance alone, and experts share the
classifier.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.networks.section import DiscriminatorSection, Logits

#: Weights of the regularisers in the discriminator's loss (esrgan_model.py, optimize_parameters).
ORTHOGONALITY_WEIGHT = 10.0
SEPARATION_WEIGHT = 10.0
BALANCE_WEIGHT = 0.05


def orthogonality(vectors: Tensor) -> Tensor:
    """Mean squared cosine between different rows of `vectors` (experts, width), the zero diagonal counted: a scalar."""
    cosines = F.cosine_similarity(vectors.unsqueeze(0), vectors.unsqueeze(1), dim=-1)
    return (cosines**2).fill_diagonal_(0).mean()


def separation(codes: Tensor) -> Tensor:
    """Likeness between the experts' codes plus spread within each one's (N, positions, experts, width): a scalar.

    The likeness of two experts is the mean product of their codes over the product of the codes' sums: some 1e-12 at
    the usual sizes, so that the spread, a variance over everything but the experts, is what counts.
    """
    experts = codes.shape[2]
    products = [(codes[:, :, k : k + 1] * codes[:, :, k + 1 :]).mean((0, 1, 3)) for k in range(experts)]
    first, second = torch.triu_indices(experts, experts, 1, device=codes.device)
    sums = codes.sum((0, 1, 3))
    between = (torch.cat(products) / (sums[first] * sums[second] + 1e-5)).sum()
    return between + codes.var((0, 1, 3)).sum()


def balance(routing: Tensor) -> Tensor:
    """Load balance of `routing` (N, positions, experts), rows of which sum to one: a scalar, small for even loads.

    The mean over pictures and experts of the fraction of positions sent there times the mean probability, times
    experts**2 / positions. Only the probability carries a gradient.
    """
    _, positions, experts = routing.shape
    load = F.one_hot(routing.argmax(-1), experts).to(routing).mean(1)
    return (load * routing.mean(1)).mean() * (experts**2 / positions)


class CALGANDiscriminator(nn.Module):
    """(N, 3, H, W) in [0, 1] to `Logits` of values (N, 1, H // 4, W // 4).

    Seven convolutions make 4 * features channels at a quarter of the size; a matrix and a softmax route each position
    to one expert, whose code, weighted by a vector of its own, two linear layers turn into a logit.
    """

    def __init__(self, features: int = 64, experts: int = 12) -> None:
        super().__init__()
        width = 4 * features
        self.content = nn.Sequential(
            nn.Conv2d(3, features, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *_block(features, features, halve=True),
            *_block(features, 2 * features),
            *_block(2 * features, 2 * features, halve=True),
            *_block(2 * features, width),
            *_block(width, width),
            *_block(width, width),
        )
        self.router = nn.Linear(width, experts, bias=False)
        nn.init.normal_(self.router.weight)
        self.codes = nn.Linear(width, experts * width)
        self.vectors = nn.Parameter(torch.randn(experts, width))
        self.classifier = nn.Sequential(
            nn.Linear(width, features // 2), nn.LeakyReLU(0.2, inplace=True), nn.Linear(features // 2, 1)
        )

    def forward(self, images: Tensor, routing: Tensor | None = None) -> Logits:
        """Return a logit for each position and the routing, (N, positions, experts), without gradient.

        The released code routes SR images as their HR ones and takes the regularisers from HR alone: with `routing`
        given, there is none.
        """
        content = self.content(images)
        height, width = content.shape[-2:]
        content = content.flatten(2).transpose(1, 2)
        # It is averaged over thousands of positions: not in half precision.
        routed = self.router(content).to(self.vectors.dtype).softmax(-1) if routing is None else routing
        codes = F.leaky_relu(self.codes(content), 0.2).unflatten(-1, self.vectors.shape)
        codes = F.leaky_relu(codes * self.vectors, 0.2)
        expert = routed.argmax(-1)[..., None, None].expand(-1, -1, 1, codes.shape[-1])
        logits = self.classifier(codes.gather(2, expert).squeeze(2)).transpose(1, 2).unflatten(-1, (height, width))
        if routing is not None:
            return Logits(logits, None, routing)
        regulariser = ORTHOGONALITY_WEIGHT * orthogonality(self.vectors) + SEPARATION_WEIGHT * separation(codes)
        return Logits(logits, regulariser + BALANCE_WEIGHT * balance(routed), routed.detach())


class CALGANDiscriminatorConfig(DiscriminatorSection):
    """CALGAN's mixture of classifiers."""

    type: Literal["calgan"]
    features: int = Field(default=64, ge=2, description="width of the first layer")
    experts: int = Field(default=12, ge=1, description="number of experts")

    def check(self, crop: int) -> None:
        if crop < 8:
            raise ValueError(f"{crop} is too small for the CALGAN discriminator; take 8 pixels or more")

    def build(self, crop: int) -> CALGANDiscriminator:
        self.check(crop)
        return CALGANDiscriminator(self.features, self.experts)


def _block(inputs: int, outputs: int, halve: bool = False) -> tuple[nn.Module, ...]:
    size, stride = (4, 2) if halve else (3, 1)
    conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=1, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)
