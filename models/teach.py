"""Upscale the training pictures' LR with a large network, so that a small one can learn from the results.

    python models/teach.py DIR/train TEACHER DIR/taught [--shrink 4 3]

Writes DIR/taught/lr (each picture shrunk by 4 and 3, MATLAB's bicubic) and DIR/taught/hr (TEACHER's x4 of those), for
`aesop train RECIPE --hr DIR/taught/hr --lr DIR/taught/lr`. What the teacher cannot know is missing in its pictures, so
the small network's gradient has less noise than with HR. Pictures that are already there are skipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from aesop import load_generator
from aesop.data.bicubic import resize
from aesop.data.pictures import find_pictures, read_picture, to_float, to_levels, to_picture, to_planes, write_picture
from aesop.progress import progress


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, metavar="DIR/train")
    parser.add_argument("teacher", metavar="TEACHER")
    parser.add_argument("output", type=Path, metavar="DIR/taught")
    parser.add_argument("--shrink", type=int, nargs="+", default=[4, 3])
    asked = parser.parse_args()
    teacher = load_generator(asked.teacher).model
    wanted = [(path, shrink) for shrink in asked.shrink for path in find_pictures(asked.pictures)]
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
