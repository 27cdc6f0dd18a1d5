"""Which loss leaves which bias at HR's texture, in a world whose E[HR | LR] is known (`known_world.py`).

    python benchmarks/known_posterior.py [--out JSON] [--pictures PNG] [--seeds N] [--work DIR] [--quick]

Each fidelity loss is trained with adversarial losses of several weights, until two weights enclose the energy of HR's
texture on tuning scenes, which are used for nothing else. The results are interpolated between the two. The bias is
measured against E[HR | LR] itself; no auto-encoder estimates it. `known_tables.py` makes tables and curves of the JSON
file; docs/known_posterior.md has the results.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

import known_measures as measures
from aesop.analysis.drawing import drawn, require_drawable, show
from aesop.files import require_writable, write_atomically
from aesop.losses.aesop import AESOPLoss
from known_measures import TestSet, Values, measure_images, summaries
from known_training import AUTOENCODERS, LOSSES, QUICK, Sizes, Study
from known_world import SCALE

#: The adversarial loss's weights, each sqrt(2) times the one before.
WEIGHTS = tuple(float(f"{0.001 * 2 ** (k / 2):.2g}") for k in range(12))
#: Each fidelity loss and the weight at which its search starts: a guess from earlier trainings with 0.002 and 0.01. A
#: bad guess only costs trainings, since `search` goes on from there.
STARTS = {
    "LR consistency": 0.004, "AESOP LR term 0.02, long": 0.004, "low-pass": 0.004, "pixel 1": 0.011,
    "AESOP (a), long": 0.004, "pixel 0.01": 0.002, "oracle": 0.008,
}  # fmt: skip
#: Every loss is compared with the first, AESOP with both.
CONTROLS = ("LR consistency", "AESOP (a), long")


class Tried(NamedTuple):
    """A weight of the adversarial loss, the texture's energy by HR's on the tuning scenes, and all measures."""

    weight: float
    texture: float
    values: Values


def search(tried: Callable[[float], Tried], start: float, most: int) -> list[Tried]:
    """Try `WEIGHTS` from `start` until two enclose a texture of 1: upwards if texture is missing, else downwards."""
    place = WEIGHTS.index(start)
    found = [tried(start)]
    up = found[0].texture < 1
    for weight in (WEIGHTS[place + 1 :] if up else WEIGHTS[:place][::-1])[: most - 1]:
        found.append(tried(weight))
        if (found[-1].texture < 1) != up:
            break
    return sorted(found, key=lambda one: one.weight)


def enclosing(found: list[Tried]) -> tuple[Tried, Tried]:
    """The two weights that enclose HR's texture; if there are none, twice the one that comes nearest."""
    for low, high in pairwise(found):
        if low.texture < 1 <= high.texture:
            return low, high
    nearest = min(found, key=lambda one: abs(one.texture - 1))
    return nearest, nearest


def at_hr_texture(low: Tried, high: Tried) -> Values:
    """Every scene's values at HR's texture, interpolated linearly between two weights."""
    part = (1 - low.texture) / (high.texture - low.texture) if low is not high else 0.0
    return {
        name: [(1 - part) * a + part * b for a, b in zip(values, high.values[name], strict=True)]
        for name, values in low.values.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("known_posterior.json"), help="all numbers, as JSON")
    parser.add_argument("--pictures", type=Path, help="SR pictures to draw, .png, .svg or .pdf")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each perceptual network")
    parser.add_argument("--work", type=Path, help="folder for trained networks, to resume after an interruption")
    parser.add_argument("--quick", action="store_true", help="a few iterations of everything, to try the script")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds must be at least 1")
    require_writable(asked.out)
    if asked.pictures:
        require_drawable(asked.pictures)
    torch.set_num_threads(1)
    sizes = QUICK if asked.quick else Sizes()
    study, test = Study(sizes, asked.work), TestSet(sizes.scenes, sizes.grains, seed=0)
    tuning = TestSet(sizes.tuning_scenes, sizes.grains, seed=1)
    starts = {"fidelity network": study.fidelity(), "fidelity network, long": study.fidelity(long=True)}
    images = {"HR": [measure_images(lambda found: found.hr, test)]}
    images |= {name: [of_network(network, test)] for name, network in starts.items()}
    tried: dict[str, list[list[Tried]]] = {}
    results: dict[str, Any] = {"setting": study.protocol | {"adversary weights": WEIGHTS, "starts": STARTS}}

    def write() -> None:  # after every loss, so that an interruption loses at most one
        rounded = json.loads(json.dumps(results), parse_float=lambda text: round(float(text), 4))
        write_atomically(asked.out, json.dumps(rounded, indent=1) + "\n")

    for seed in range(asked.seeds):
        for name, start in STARTS.items():

            def one(weight: float, name: str = name, seed: int = seed) -> Tried:
                network = study.perceptual(name, weight, seed)
                return Tried(weight, texture(network, tuning), of_network(network, test))

            # Later seeds start where the first one ended, which saves trainings.
            begin = enclosing(tried[name][0])[0].weight if seed else start
            tried.setdefault(name, []).append(search(one, begin, most=2 if asked.quick else 6))
            images.setdefault(name, []).append(at_hr_texture(*enclosing(tried[name][seed])))
            results |= compared(images, tried)
            write()
        if not seed:
            results |= looked_at(study, test)
            write()
    if asked.pictures:
        draw_pictures(study, test, tried, asked.pictures)


def texture(network: nn.Module, test: TestSet) -> float:
    """The texture's energy divided by HR's, averaged over scenes."""
    values = [value for value in of_network(network, test)["band"] if not math.isnan(value)]
    return sum(values) / len(values)


def of_network(network: nn.Module, test: TestSet) -> Values:
    """Measure a network's SR."""
    torch.manual_seed(0)  # for the noise that the network adds
    return measure_images(lambda found: network(found.lr), test)


def looked_at(study: Study, test: TestSet) -> dict[str, Any]:
    """What auto-encoders keep of HR, and how much of each error every loss sees."""
    encoders = {name: study.autoencoder(name) for name in AUTOENCODERS}
    losses: dict[str, nn.Module] = {name: loss for name, (loss, _) in LOSSES.items() if name[:5] in ("LR co", "low-p")}
    losses |= {f"AESOP {name}": AESOPLoss(autoencoder) for name, autoencoder in encoders.items()}
    return {
        "auto-encoders": summaries({n: [measures.measure_autoencoder(one, test)] for n, one in encoders.items()}),
        "sight": summaries({name: [measures.measure_sight(loss, test)] for name, loss in losses.items()}),
    }


def compared(images: dict[str, list[Values]], tried: dict[str, list[list[Tried]]]) -> dict[str, Any]:
    """Summaries at HR's texture, paired differences to the controls, and the means at every weight tried."""
    minus = {
        control: summaries({
            name: [measures.minus(own, base) for own, base in zip(images[name], images[control], strict=False)]
            for name in tried
            if name != control
        })
        for control in CONTROLS
        if control in tried
    }  # fmt: skip
    curves = {
        name: [
            [
                {"weight": one.weight, "tuning": one.texture, **measures.means(one.values)}
                | {"encloses": one in enclosing(weights)}
                for one in weights
            ]
            for weights in seeds
        ]
        for name, seeds in tried.items()
    }
    return {"images": summaries(images), "minus": minus, "curves": curves}


@torch.no_grad()
def draw_pictures(study: Study, test: TestSet, tried: dict[str, list[list[Tried]]], path: Path) -> None:
    """Draw LR, two HR pictures of it, their mean, AE(HR) and the SR nearest to HR's texture; three scenes."""
    lr, hr, mean = (torch.cat([getattr(p, part)[:1] for p in test.pictures[:3]]) for part in ("lr", "hr", "mean"))
    other = torch.cat([found[:1] for found in test.redrawn[:3]])
    panels = {"LR": F.interpolate(lr, scale_factor=float(SCALE)), "HR": hr, "HR, same LR": other}
    panels["E[HR | LR]"] = mean
    panels |= {f"AE(HR) {name}": study.autoencoder(name)(hr) for name in ("LR term 1", "LR term 0.02, long")}
    panels |= {"fidelity network": study.fidelity()(lr), "fidelity network, long": study.fidelity(long=True)(lr)}
    torch.manual_seed(0)
    for name, (found, *_) in tried.items():
        nearest = min(found, key=lambda one: abs(one.texture - 1))
        panels[name] = study.perceptual(name, nearest.weight, 0)(lr)
    across = math.ceil(len(panels) / 2)
    with drawn(path, 7.5, 5.6) as figure:
        for number, (title, images) in enumerate(panels.items(), 1):
            title = title.replace(", ", "\n").replace(") L", ")\nL").replace("P L", "P\nL")
            show(figure.add_subplot(2, across, number), torch.cat(list(images), dim=1), title)


if __name__ == "__main__":
    main()
