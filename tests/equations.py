"""The formulas of the paper, LDL, SPSR and the GANs, written out slowly: references for the tests of the losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.data.bicubic import resize


def slow_artifact_map(sr: Tensor, hr: Tensor, ema: Tensor) -> Tensor:
    """M of LDL, pixel by pixel."""
    residual = (sr - hr).abs().sum(1)
    ema_residual = (ema - hr).abs().sum(1)
    count, height, width = residual.shape

    def reflect(index: int, length: int) -> int:
        return -index if index < 0 else 2 * (length - 1) - index if index >= length else index

    rows = []
    for n in range(count):
        flat = residual[n].flatten()
        patch = ((flat - flat.mean()) ** 2).sum() / (len(flat) - 1)
        for y in range(height):
            for x in range(width):
                ys, xs = ([reflect(at + i, length) for i in range(-3, 4)] for at, length in ((y, height), (x, width)))
                window = residual[n][ys][:, xs]
                local = ((window - window.mean()) ** 2).sum() / 48
                rows.append(patch**0.2 * local * (residual[n, y, x] >= ema_residual[n, y, x]))
    return torch.stack(rows).view(count, 1, height, width)


def slow_gradient_map(images: Tensor) -> Tensor:
    """SPSR's equation, channel by channel, as two zero-padded convolutions."""
    across = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]], dtype=images.dtype)
    planes = images.flatten(0, 1).unsqueeze(1)
    found = [F.conv2d(planes, kernel.view(1, 1, 3, 3), padding=1) for kernel in (across, across.T)]
    return (found[0].square() + found[1].square() + 1e-6).sqrt().view_as(images)


def slow_generator_loss(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    """L_adv of G from the logits of HR, which are constants, and of SR."""
    real = real.detach()
    if gan == "plain":
        return -torch.log(torch.sigmoid(fake)).mean()
    if gan == "least-squares":
        return torch.stack([(logit - 1) ** 2 for logit in fake.flatten()]).mean()
    more, less = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    return (-torch.log(1 - more).mean() - torch.log(less).mean()) / 2


def slow_discriminator_loss(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    """L_adv of D; the other side's mean is a constant."""
    if gan == "plain":
        return -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    if gan == "least-squares":
        squares = [(logit - 1) ** 2 for logit in real.flatten()], [logit**2 for logit in fake.flatten()]
        return (torch.stack(squares[0]).mean() + torch.stack(squares[1]).mean()) / 2
    more, less = torch.sigmoid(real - fake.mean().detach()), torch.sigmoid(fake - real.mean().detach())
    return (-torch.log(more).mean() - torch.log(1 - less).mean()) / 2


def unseen_by(downscale: int, size: int = 24) -> Tensor:
    """A pattern (1, 3, size, size) in [-1, 1] that bicubic downscaling removes completely."""
    rows = resize(torch.eye(size, dtype=torch.float64).view(size, 1, size, 1).expand(-1, 1, -1, size), 1 / downscale)
    matrix = rows[:, 0, :, 0].T  # (size / downscale, size)
    null = torch.linalg.svd(matrix)[2][len(matrix) :]
    pattern = torch.outer(null[0], null[-1])
    return (pattern / pattern.abs().max()).expand(1, 3, size, size)
