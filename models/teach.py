"""Upscale the training pictures' LR with a large network, so that a small one can learn from the results.

    python models/teach.py DIR/train TEACHER DIR/taught

Writes DIR/taught/lr (pictures shrunk by 4, photographs by 3 and 2 as well, MATLAB's bicubic) and DIR/taught/hr
(TEACHER's x4 of those), for `aesop train RECIPE --hr DIR/taught/hr --lr DIR/taught/lr`. What no network can know is
missing in the teacher's pictures, so the small network's gradient has less noise than with HR. Pictures that are
already there are skipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from aesop import load_generator
from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture, to_float, to_levels, to_picture, to_planes, write_picture
from aesop.progress import progress

#: Names of pictures of textures begin like this. There are four times as many of them as of photographs, and crops are
#: drawn from all pictures alike. With photographs in three sizes and every third texture, two crops of three are of
#: photographs.
TEXTURES = ("supertuxkart-data", "ufoai-textures")
EVERY = 3


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, metavar="DIR/train")
    parser.add_argument("teacher", metavar="TEACHER")
    parser.add_argument("output", type=Path, metavar="DIR/taught")
    asked = parser.parse_args()
    teacher = load_generator(asked.teacher).model
    pictures = find_pictures(asked.pictures)
    textures = [path for path in pictures if path.name.startswith(TEXTURES)]
    photographs = [path for path in pictures if not path.name.startswith(TEXTURES)]
    wanted = [(path, 4) for path in textures[::EVERY]]
    wanted += [(path, shrink) for shrink in (4, 3, 2) for path in photographs]
    for folder in ("hr", "lr"):
        (asked.output / folder).mkdir(parents=True, exist_ok=True)
    with torch.inference_mode(), progress("teach", len(wanted), unit="pictures") as advance:
        for path, shrink in wanted:
            name = f"{path.stem}--{shrink}.png"
            if not (asked.output / "hr" / name).exists():
                planes = to_planes(read_picture(path))
                height, width = (size // shrink * shrink for size in planes.shape[-2:])
                lr = resize(planes[:, :height, :width], 1 / shrink)
                write_picture(asked.output / "lr" / name, to_picture(lr))
                sr = to_levels(teacher(to_float(lr)[None]))[0]
                write_picture(asked.output / "hr" / name, to_picture(sr))
            advance()


if __name__ == "__main__":
    main()
