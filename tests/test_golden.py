"""Golden curves: the losses of tiny trainings in float32, as they were when they were last checked.

They change when an equation, an order of crops or an initial value does. If that was meant, renew the file and say why
in the commit:

    python tests/test_golden.py
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from frozen import trained

FILE = Path(__file__).with_name("golden.json")
#: Each trains all its stages; together they cover every loss and kind of discriminator.
FAMILIES = ("aesop-rrdb-128", "spsr-128", "calgan-rrdb-128", "aesop-real-x4", "low-pass-rrdb-128", "laptop")
#: Rounding differs from CPU to CPU, and grows with every step.
FIRST, TOLERANCE = 10, 2e-3


def curves(name: str, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return the losses of a recipe's first iterations, by stage and name."""
    found = {}
    for key, lines in trained(name, folder).items():
        if key.endswith(" log"):
            losses = [line for line in lines if line["kind"] == "loss"][:FIRST]
            names = losses[0].keys() - {"iteration", "kind"}
            found[key.removesuffix(" log")] = {n: [round(line[n], 7) for line in losses] for n in sorted(names)}
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_are_what_they_were(name: str, tmp_path: Path):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[name]
    found = curves(name, tmp_path)
    assert {stage: set(losses) for stage, losses in found.items()} == {
        stage: set(losses) for stage, losses in expected.items()
    }
    for stage, losses in expected.items():
        for loss, values in losses.items():
            assert found[stage][loss] == pytest.approx(values, rel=TOLERANCE, abs=1e-5), (stage, loss)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        golden = {name: curves(name, Path(temporary)) for name in FAMILIES}
    text = re.sub(r"\s+(?=[-\d\]])", " ", json.dumps(golden, indent=1))  # a line for each list of numbers
    FILE.write_text(text + "\n", encoding="utf-8")
    print(f"{FILE}: torch {torch.__version__}", file=sys.stderr)
