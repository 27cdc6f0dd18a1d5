"""The AESOP loss (eq. 7-8): the distance between auto-encoded images.

    L_AESOP(G(x), y) = | AE(y) - AE(G(x)) |_1

The auto-encoder maps an image to its fidelity bias, so that this penalises the systematic effect alone and leaves the
perceptual variance, the textures, to the perceptual and adversarial losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from aesop.autoencoder import AutoEncoder
from aesop.box import models, resolved
from aesop.errors import ModelError
from aesop.losses.images import check_images, check_range
from aesop.losses.term import LossContext, LossSection


class AESOPLoss(nn.Module):
    """L1 distance of auto-encoded images: `loss = AESOPLoss.pretrained("x4"); loss(sr, hr)`.

    The auto-encoder is frozen, since AE = const would be a trivial minimum (AE collapse), and stays in evaluation
    mode. It is measured after the decoder, never at the bottleneck. The module that holds the loss takes it to a
    device, but has none of it among its parameters or in its `state_dict()`.

    An auto-encoder has learned images in [0, 1] only. A generator's values outside, which a picture file clips, would
    let the loss judge an image that nobody sees: two excursions that cancel in the bottleneck cost nothing, and their
    clipped remains are the colour artefacts that users of this loss have reported. So the auto-encoder sees the image
    as it will be seen, clamped, and what was cut off is added as a distance of its own:

        L_AESOP(clamp(sr), hr) + | sr - clamp(sr) |_1

    Inside [0, 1], its bounds included, this is eq. 8 to the letter; outside, every pixel is drawn back. SR and HR
    may be of any floating type, under autocast or not.
    """

    autoencoder: AutoEncoder

    def __init__(
        self, autoencoder: AutoEncoder, reduction: Literal["mean", "none"] = "mean", loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction is {reduction!r}; it must be 'mean' or 'none'")
        self.reduction, self.loss_weight = reduction, loss_weight
        # Not a submodule: what a trainer saves, optimises, initialises or switches to training mode passes it by.
        object.__setattr__(self, "autoencoder", autoencoder.requires_grad_(False).eval())
        self._range_checked = False

    @classmethod
    def pretrained(
        cls, model: Path | str = "x4", reduction: Literal["mean", "none"] = "mean", loss_weight: float = 1.0
    ) -> AESOPLoss:
        """Build the loss with the auto-encoder in the box for a scale, or with one that `AutoEncoder.load` takes.

        Raises ModelError if there is none.
        """
        prefix = "auto-encoder-"
        path = next((path for path in (resolved(model), resolved(f"{prefix}{model}")) if path.exists()), None)
        if path is None:
            scales = ", ".join(name.removeprefix(prefix) for name in models() if name.startswith(prefix))
            raise ModelError(
                f"{model}: is no file, and the auto-encoders in the box are for {scales}; name one of them."
            )
        return cls(AutoEncoder.load(path), reduction, loss_weight)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Take the auto-encoder along: `to`, `cuda`, `double` and their like come by here."""
        self.autoencoder._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """L_AESOP of SR and HR images, (N, 3, H, W), H and W multiples of the scale: a scalar of AE's type.

        With `reduction="none"`, its map: (N, 3, H, W). Raises ValueError if sizes, types, devices or values do not fit.
        """
        self._check(sr, hr)
        # Auto-encoded images differ by less than half precision can tell apart near 1: no autocast here.
        with torch.autocast(sr.device.type, enabled=False):
            sr, hr = (images.to(self._weight(sr).dtype) for images in (sr, hr))
            # A clamp whose slope at 0 and 1 is 1 in every version of torch.
            seen = torch.where((sr < 0) | (sr > 1), sr.detach().clamp(0, 1), sr)
            with torch.no_grad():
                target = self.autoencoder(hr)
            l1 = partial(F.l1_loss, reduction=self.reduction)
            return self.loss_weight * (l1(self.autoencoder(seen), target) + l1(sr, seen.detach()))

    def _weight(self, images: Tensor) -> Tensor:
        """Return a parameter of the auto-encoder (float32 unless the user has changed it), or a stand-in for one."""
        return next(self.autoencoder.parameters(), images.new_empty(0, dtype=torch.get_default_dtype()))

    def _check(self, sr: Tensor, hr: Tensor) -> None:
        check_images(sr, hr, self._weight(sr).device)
        # The first batch shows a wrong range as well as every batch would.
        if not (self._range_checked or torch.compiler.is_compiling() or hr.is_meta):
            check_range(hr)
            self._range_checked = True


class AESOPLossConfig(LossSection):
    """AESOP loss as the fidelity loss: eq. 9. The auto-encoder is the recipe's."""

    uses_autoencoder: ClassVar[bool] = True

    type: Literal["aesop"]
    weight: float = Field(default=1.0, ge=0)

    def build(self, context: LossContext) -> AESOPLoss:
        """Build the loss around the auto-encoder, which it freezes."""
        if context.autoencoder is None or context.autoencoder.scale != context.scale:
            raise ValueError(f"the AESOP loss needs an auto-encoder of scale {context.scale}")
        return AESOPLoss(context.autoencoder)
