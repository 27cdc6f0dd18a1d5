"""Trainings of 20 iterations follow the curves in `curves.json`: no loss, gradient, optimizer or average has changed.

    python tests/test_curves.py    # trains all of FAMILIES and writes curves.json anew

Renew them only where a change of an equation, of the crops or of first weights is meant, and say so in the commit. The
random numbers behind first weights and crops are the same on every machine, but CPUs and versions of torch round
differently. Kernels for SSE instead of AVX2 changed losses of images by up to 2e-5 of themselves, an adversary's losses
and logits by 5e-4, sums of weights by 6e-6 and norms of gradients by 1e-4 of themselves. A weight of a main loss
changed by 1 % changes the generator's gradients by 4e-3 or more.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frozen import trained

CURVES = Path(__file__).with_name("curves.json")
FAMILIES = ("laptop", "aesop-rrdb-128", "calgan-rrdb-128", "spsr-128", "aesop-real-x4")
#: Largest differences: of losses, relative, and of an adversary's, absolute; of the sum of each tensor of weights; of
#: each network's gradients, relative.
LOSSES, ADVERSARY, SUMS, GRADIENTS = 2e-4, 5e-3, 1e-4, 1e-3
ADVERSARIAL = ("adversarial", "discriminator", "logit_real", "logit_fake")


def summary(name: str, folder: Path) -> dict[str, Any]:
    """Train a recipe at its tiny size; return numbers of each stage, by its name and theirs.

    They are each loss's curve, the sums of the result's tensors, and the norm of each network's gradients over all
    iterations, as Adam averages them. (What Adam makes of a gradient hardly depends on its scale, and so neither do
    the curves.)
    """
    found: dict[str, Any] = {}
    for what, values in trained(name, folder).items():
        stage, _, kind = what.partition(" ")
        if kind == "log":
            lines = [line for line in values if line["kind"] == "loss"]
            for loss in lines[0].keys() - {"iteration", "kind"}:
                found[f"{stage} {loss}"] = [line[loss] for line in lines]
        elif kind == "sums":
            found[what] = list(values.values())
        elif kind == "gradients":
            squares: dict[str, float] = {}
            for tensor, norm in values.items():
                optimizer = tensor.split()[0]
                squares[optimizer] = squares.get(optimizer, 0.0) + norm**2
            found[what] = [total**0.5 for total in squares.values()]
    return found


def bound(what: str, expected: np.ndarray) -> np.ndarray:
    """Return by how much each value may differ."""
    kind = what.split(" ")[1]
    if kind == "sums":
        return np.full_like(expected, SUMS)
    if kind == "gradients":
        return GRADIENTS * expected
    # The artifact loss, a product of small differences, comes near 0.
    adversarial = kind.removeprefix("gradient_") in ADVERSARIAL
    return np.full_like(expected, ADVERSARY) if adversarial else LOSSES * np.abs(expected) + 1e-6


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name != "laptop" else []) for name in FAMILIES]
)
def test_a_training_follows_its_curves(name: str, tmp_path: Path):
    written = json.loads(CURVES.read_text())
    found, expected = summary(name, tmp_path), written["families"][name]
    assert found.keys() == expected.keys()
    wrong = []
    for what in expected:
        ours, theirs = np.array(found[what]), np.array(expected[what])
        assert ours.shape == theirs.shape, what
        if (excess := np.abs(ours - theirs) / bound(what, theirs)).max() > 1:
            first = int(np.argmax(excess > 1))
            wrong.append(f"{what}: number {first + 1} is {ours[first]:.7g}, was {theirs[first]:.7g}")
    assert not wrong, f"written by torch {written['torch']}, this is {torch.__version__}:\n" + "\n".join(wrong)


def main() -> None:
    torch.set_num_threads(1)
    families = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in FAMILIES:
            print(name, file=sys.stderr)
            families[name] = {
                what: [float(f"{value:.8g}") for value in values]
                for what, values in sorted(summary(name, Path(folder)).items())
            }
    text = json.dumps({"torch": torch.__version__, "families": families}, indent=1)
    # A list on one line.
    text = re.sub(r"\[[^\]]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
    CURVES.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
