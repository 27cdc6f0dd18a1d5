"""Kill a tiny training of all three stages over and over, damage its files in between, and compare the results.

    nice python benchmarks/durability.py [--kills 100] [--seed 0]

Every attempt is a forked process that trains in the same run folder. It is killed at a random moment, or just before or
after a file is renamed to its final name, or it cannot write files larger than a random size. Between two attempts, a
checkpoint or a finished network may be truncated or have bytes flipped; if an attempt refuses to train, the script does
what the message asks for. Each training must end with the same networks, snapshots and logs as an undisturbed one, bit
for bit. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from aesop.errors import AesopError
from aesop.progress import progress
from aesop.run import STAGES, Run
from aesop.training.recipe_files import load_recipe
from aesop.training.train import train

SIZES = [
    "generator={type: srvgg, features: 4, convs: 1}",
    "perceptual.discriminator.features=4",
    "perceptual.perceptual_loss.features.blocks={0: 1.0}",
    "data.held_out=1",
    "data.workers=0",
    *(f"{stage}.{setting}" for stage in STAGES for setting in (
        "iterations=12", "crop=32", "batch=2", "log_every=2", "validate_every=4", "checkpoint_every=3", "warmup=0",
    )),
]  # fmt: skip

#: Exit statuses of an attempt: finished, an unexpected exception, an `AesopError`.
DONE, BUG, REFUSED = 0, 1, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = torment(Path(folder), arguments.kills, arguments.seed)
    for what, count in sorted(counts.items()):
        print(f"{count:5d}  {what}")
    print(f"every result equals the uninterrupted run's, bit for bit; {time.monotonic() - started:.0f} s")


def torment(folder: Path, kills: int, seed: int = 0) -> Counter[str]:
    """Disturb trainings until `kills` attempts were killed; count what happened.

    Raises:
        AssertionError: at the first training that differs from an undisturbed one.

    """
    torch.set_num_threads(1)
    rng = random.Random(seed)
    pictures = folder / "pictures"
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
        pictures.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(pictures / f"{number}.png")  # a process that has used libvips must not fork
    started = time.monotonic()
    assert attempt(pictures, folder / "straight") == (DONE, "")
    seconds, expected = time.monotonic() - started, left_by(Run(folder / "straight"))
    counts: Counter[str] = Counter()
    with progress("kills", kills, unit="kills") as advance:
        while counts["killed"] < kills:
            run = Run(folder / f"run-{counts['trainings ended']}")
            for _ in range(1000):
                status, said = attempt(pictures, run.folder, **trouble(rng, seconds))
                if status == -signal.SIGKILL:
                    counts["killed"] += 1
                    advance(note=f"{counts['trainings ended']} trainings ended")
                elif status == DONE:
                    break
                else:
                    assert status == REFUSED, said
                    counts[obeyed(said)] += 1
                if rng.random() < 0.5:
                    counts[damaged(run, rng)] += 1
            assert left_by(run) == expected, run.folder
            counts["trainings ended"] += 1
    return counts


def trouble(rng: random.Random, seconds: float) -> dict[str, Any]:
    """Choose how an attempt is disturbed: arguments of `attempt`."""
    kind = rng.choice(["moment", "moment", "rename", "size"])
    if kind == "moment":
        return {"moment": rng.uniform(0, seconds)}
    return {"rename": rng.randrange(1, 40)} if kind == "rename" else {"size": int(2 ** rng.uniform(10, 18))}


def attempt(pictures: Path, run: Path, moment: float = 0, rename: int = 0, size: int = 0) -> tuple[int, str]:
    """Train in a forked process.

    It is killed after `moment` seconds or around its rename number `rename`, and writes at most `size` bytes per file;
    0 means no such limit. Returns the exit status, or minus the signal that killed it, and its last message.
    """
    words = run.parent / "words"
    words.write_text("")
    pid = os.fork()
    if pid == 0:
        status = BUG
        try:
            log = os.open(run.parent / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 2)
            if rename:
                die_at(rename)
            if size:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            recipe = load_recipe("laptop", SIZES)
            train(recipe, pictures, run, store=run.parent / "store", device="cpu", say=lambda _: None)
            status = DONE
        except AesopError as error:
            status = REFUSED
            words.write_text(str(error))
        except BaseException:
            words.write_text(traceback.format_exc())
        finally:
            os._exit(status)
    deadline = time.monotonic() + moment
    while moment and time.monotonic() < deadline:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1]), words.read_text()
        time.sleep(0.005)
    if moment:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), words.read_text()


def die_at(rename: int) -> None:
    """Kill this process just before its rename number `rename` or, if that is odd, just after the previous one."""
    original, left = Path.replace, rename

    def replace(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = original(self, target)
        if left == 1 and rename % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = replace  # pyright: ignore[reportAttributeAccessIssue]


def damaged(run: Run, rng: random.Random) -> str:
    """Damage a checkpoint or a finished network that the training will read again."""
    if run.stage(STAGES[-1]).network.is_file():
        return "nothing to damage any more"
    files = [run.stage(stage) for stage in STAGES]
    found = [path for each in files for path in (each.checkpoint, each.previous_checkpoint, each.network)]
    found = [path for path in found if path.is_file()]
    if not found:
        return "nothing to damage yet"
    path = rng.choice(found)
    whole = path.read_bytes()
    if rng.random() < 0.5:
        path.write_bytes(whole[: rng.randrange(len(whole))])
        return f"{path.name} cut short"
    content, first = bytearray(whole), rng.randrange(len(whole))
    for index in range(first, min(first + 400, len(whole))):
        content[index] ^= rng.randrange(1, 256)
    path.write_bytes(content)
    return f"{path.name} with flipped bytes"


def obeyed(said: str) -> str:
    """Do what an error message asks for; return what kind it was."""
    if "too large" in said.lower() or "could not be written" in said:
        return "refused: a file could not be written"
    found = re.search(r"(/\S+/(\S+\.(?:pt|safetensors))): is ", said)
    assert found, said
    Path(found[1]).unlink()
    return f"refused: {found[2]} is damaged; deleted"


def left_by(run: Run) -> dict[str, object]:
    """Everything that a finished training leaves: networks and snapshots as bytes, logs without their times."""
    paths = sorted(run.folder.rglob("*.safetensors"))
    found: dict[str, object] = {str(path.relative_to(run.folder)): path.read_bytes() for path in paths}
    for stage in STAGES:
        lines = [{**line, "seconds": 0} for line in run.stage(stage).read_log()]
        found[f"{stage}/log"] = json.dumps(lines)
    return found


if __name__ == "__main__":
    main()
