"""How a frozen auto-encoder, and AESOPLoss, respond to SR values outside [0, 1].

    python benchmarks/out_of_range.py AUTOENCODER PICTURE

Its output is quoted in docs/method.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from aesop import AESOPLoss, AutoEncoder
from aesop.data.pictures import read_picture, to_float, to_planes

SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("autoencoder", metavar="AUTOENCODER", type=Path)
    parser.add_argument("picture", metavar="PICTURE", type=Path)
    asked = parser.parse_args()
    autoencoder = AutoEncoder.load(asked.autoencoder)
    loss = AESOPLoss(autoencoder)
    picture = to_float(to_planes(read_picture(asked.picture)))
    top, left = ((length - SIDE) // 2 for length in picture.shape[-2:])
    hr = picture[None, :, top : top + SIDE, left : left + SIDE]
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1
    print("SR = HR plus a checkerboard of +-a:")
    print(f"{'a':>6} {'|clip(SR) - HR|':>16} {'|AE(SR) - AE(HR)|':>18} {'AESOPLoss':>10} {'up-pull':>8}")
    for amplitude in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
        sr = (hr + amplitude * board).requires_grad_()
        plain = F.l1_loss(autoencoder(sr), autoencoder(hr).detach())
        (gradient,) = torch.autograd.grad(plain, sr)
        outside = sr > 1
        wrong = (gradient[outside] < 0).float().mean().item() if outside.any() else 0.0
        seen = F.l1_loss(sr.clamp(0, 1), hr).item()
        print(f"{amplitude:6.2f} {seen:16.4f} {plain.item():18.4f} {loss(sr, hr).item():10.4f} {100 * wrong:6.0f} %")
    print("up-pull: share of pixels above 1 that eq. 8 without clamping would push up further")


if __name__ == "__main__":
    main()
