"""The artifact loss L_art of LDL (Liang 2022): pixels that look like artefacts are held to the HR image.

An artefact is where the residual varies wildly and the EMA generator, which is steadier, did better.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from aesop.losses.term import LossContext, LossSection, Term

#: Side of the window of the local variance (LDL's code).
WINDOW = 7


def artifact_map(sr: Tensor, hr: Tensor, ema_sr: Tensor) -> Tensor:
    """M of LDL: (N, 1, H, W), larger where `sr` is more likely an artefact; carries the gradient of `sr`.

    M = var(R)^(1/5) * var_7x7(R) with R = sum over channels of |hr - sr|, zero where R is smaller than the residual of
    the EMA generator's `ema_sr`. Variances are unbiased; windows at the border reflect it.
    """
    residual = (hr - sr).abs().sum(dim=1, keepdim=True)
    ema_residual = (hr - ema_sr).abs().sum(dim=1, keepdim=True)
    # The fifth root's slope at zero is infinite.
    patch_level = residual.var(dim=(1, 2, 3), keepdim=True).clamp_min(1e-20) ** (1 / 5)
    padded = F.pad(residual, [WINDOW // 2] * 4, mode="reflect")
    pixel_level = padded.unfold(2, WINDOW, 1).unfold(3, WINDOW, 1).var(dim=(-1, -2))
    return torch.where(residual < ema_residual, 0.0, patch_level * pixel_level)


def artifact_loss(sr: Tensor, hr: Tensor, ema_sr: Tensor) -> Tensor:
    """|M * sr - M * hr|_1 for images (N, 3, H, W): a scalar; the gradient flows through M too."""
    weight = artifact_map(sr, hr, ema_sr)
    return F.l1_loss(weight * sr, weight * hr)


class ArtifactLossConfig(LossSection):
    """L_art of LDL."""

    def build(self, context: LossContext) -> Callable[..., Tensor]:  # noqa: ARG002
        """Return the loss."""
        return artifact_loss

    def term(self, name: str, loss: Callable[..., Tensor]) -> Term:
        """Weigh the loss, which sees the EMA generator's SR too."""
        return Term(name, self.weight, lambda sr, batch: loss(sr, batch.target, batch.ema_sr()))
