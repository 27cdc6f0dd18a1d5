"""Checks of the images that a trainer passes to a loss."""

from __future__ import annotations

import torch
from torch import Tensor


def check_images(sr: Tensor, hr: Tensor, device: torch.device) -> None:
    """Raise ValueError, with the mend, unless SR and HR are RGB images of one size and floating types on `device`."""
    if sr.shape != hr.shape:
        raise ValueError(f"SR is {tuple(sr.shape)} and HR {tuple(hr.shape)}; they must be of one size")
    if sr.ndim != 4 or sr.shape[1] != 3:
        raise ValueError(f"SR and HR are {tuple(sr.shape)}; they must be (N, 3, H, W), grey repeated three times")
    for name, images in (("SR", sr), ("HR", hr)):
        if not images.is_floating_point():
            raise ValueError(f"{name} is {images.dtype}; it must be of a floating type, with values in [0, 1]")
        if images.device != device:
            raise ValueError(f"{name} is on {images.device}, the auto-encoder on {device}; move one by `.to`")


def check_range(hr: Tensor) -> None:
    """Raise ValueError if HR holds NaN or is plainly not in [0, 1], such as 0 to 255 or -1 to 1; overshoots pass.

    Waits for the device.
    """
    low, high = (value.item() for value in hr.detach().aminmax())
    if low != low or high != high:
        raise ValueError("HR holds NaN; look at the pictures, and at what is done to them before the loss")
    if low < -0.5 or high > 1.5:
        raise ValueError(f"HR has values from {low:g} to {high:g}; they must be in [0, 1]")
